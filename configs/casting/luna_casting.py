_base_ = [
    '../_base_/models/casting/luna.py', '../_base_/datasets/casting.py',
    '../_base_/schedules/casting.py'
]
# PyTorch's own start halves what a layer passes on, eight times: all images look alike to
# the head. This one keeps their differences.
model = dict(
    backbone=dict(init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_in')))
# From scratch: a longer run at a larger rate, and the statistics of these images.
data_preprocessor = dict(mean=[143.9] * 3, std=[60.84] * 3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
default_hooks = dict(early_stopping=dict(patience=12))
