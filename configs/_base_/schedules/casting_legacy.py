# The casting study's recipe: Adam with L2, a constant learning rate, the last epoch.
_base_ = '../classification_runtime.py'

optim_wrapper = dict(optimizer=dict(type='Adam', lr=2e-5, weight_decay=2.5e-4))
param_scheduler = []
train_cfg = dict(by_epoch=True, max_epochs=6, val_interval=1)
val_cfg = dict()
test_cfg = dict()
randomness = dict(seed=42)
auto_scale_lr = dict(enable=False, base_batch_size=16)
