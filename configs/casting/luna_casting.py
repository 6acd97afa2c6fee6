_base_ = [
    '../_base_/models/casting/luna.py', '../_base_/datasets/casting.py',
    '../_base_/schedules/casting.py'
]
# From scratch: a longer run at a larger rate, and the statistics of these images.
data_preprocessor = dict(mean=[143.9] * 3, std=[60.84] * 3)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
max_epochs = 50
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=True,
        begin=0,
        end=2,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        by_epoch=True,
        begin=2,
        end=max_epochs,
        convert_to_iter_based=True),
]
default_hooks = dict(early_stopping=dict(patience=20))
