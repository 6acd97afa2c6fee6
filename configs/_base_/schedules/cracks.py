# AdamW on a cosine; the best epoch by validation.
_base_ = './casting.py'

max_epochs = 20
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=True,
        begin=0,
        end=1,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        eta_min=0,
        by_epoch=True,
        begin=1,
        end=max_epochs,
        convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs)

# Patches are balanced: both kinds of error count alike, and no threshold is moved.
default_hooks = dict(
    checkpoint=dict(save_best='defect/balanced_accuracy'),
    early_stopping=None,
    calibration=None)
