# One look at every image; a memory has nothing to optimise.
train_cfg = dict(by_epoch=True, max_epochs=1, val_interval=100000)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.0))
param_scheduler = []
