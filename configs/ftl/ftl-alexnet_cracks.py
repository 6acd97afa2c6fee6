# FTL's AlexNet from scratch: the network that is pruned by the configs beside it.
_base_ = [
    '../_base_/models/cracks/ftl_alexnet.py', '../_base_/datasets/cracks.py',
    '../_base_/schedules/cracks.py'
]
# PyTorch's own start, not a pretrained one.
max_epochs = 60
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs),
]
train_cfg = dict(max_epochs=max_epochs)
