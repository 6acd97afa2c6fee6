# AdamW on a cosine; the best epoch by validation.
_base_ = './casting.py'

optim_wrapper = dict(optimizer=dict(lr=3e-4))

# Patches are balanced: both kinds of error count alike, and no threshold is moved.
default_hooks = dict(
    checkpoint=dict(save_best='defect/balanced_accuracy'),
    early_stopping=None,
    calibration=None)
