# AdamW at a small learning rate on a cosine, averaged weights, the best epoch by
# validation.
_base_ = '../classification_runtime.py'

max_epochs = 20
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-5, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=1.0))
param_scheduler = [
    # 5 % of the epochs.
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
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(
    checkpoint=dict(save_best='defect/f1_defective', rule='greater'),
    early_stopping=dict(
        type='mmdefect.ResumableEarlyStoppingHook',
        monitor='defect/f1_defective',
        rule='greater',
        patience=8,
        min_delta=0.0),
    # A temperature and a threshold from the validation images, into calibrated.pth.
    calibration=dict(type='mmdefect.CalibrationHook', costs=(1.0, 1.0)),
    # Over the last tenth of the iterations so far, over 1,000 at most: a small set has few.
    ema=dict(
        type='EMAHook',
        ema_type='MomentumAnnealingEMA',
        momentum=1e-3,
        gamma=10,
        priority='ABOVE_NORMAL'))
auto_scale_lr = dict(enable=False, base_batch_size=32)
