# UniAD's and IUF's schedule; the number of epochs belongs to the protocol.
train_cfg = dict(by_epoch=True, max_epochs=1000, val_interval=100000)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1))
param_scheduler = [dict(type='StepLR', step_size=800, gamma=0.1, by_epoch=True)]
auto_scale_lr = dict(enable=False, base_batch_size=24)
