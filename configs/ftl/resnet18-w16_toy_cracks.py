# The parent of the toy sweep: drawn cracks, a minute on a CPU.
_base_ = [
    '../_base_/models/cracks/resnet18_w16.py', '../_base_/datasets/toy_cracks.py',
    '../_base_/schedules/cracks.py'
]
max_epochs = 8
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs),
]
train_cfg = dict(max_epochs=max_epochs)
