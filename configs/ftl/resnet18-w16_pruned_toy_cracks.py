# Drawn cracks: the parent comes from resnet18-w16_toy_cracks.py, its last epoch.
_base_ = ['./resnet18-w16_toy_cracks.py', '../_base_/prune/default.py']
load_from = 'work_dirs/resnet18-w16_toy_cracks/epoch_8.pth'
max_epochs = 4
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs),
]
train_cfg = dict(max_epochs=max_epochs)
# Patches are named after their image and their place in it, and stay in one fold.
prune = dict(
    grid=dict(values=[0.1, 0.3]), probe=dict(source=r'(.+)_\d+_\d+'))
