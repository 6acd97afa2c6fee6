_base_ = [
    '../_base_/models/casting/luna.py', '../_base_/datasets/casting_legacy.py',
    '../_base_/schedules/casting_legacy.py'
]
# The study's network ends in a softmax and is trained by a loss that applies another.
# Its learning rate was meant to decay by 0.9 an epoch and never did.
model = dict(head=dict(double_softmax=True))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=50)
