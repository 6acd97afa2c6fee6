# The recipe of before June 2022, when 28 (April) and 25 (May) errors were counted: batches
# of 32, a fiftieth of the learning rate. For how many epochs is not recorded; these are
# June's.
_base_ = './luna_legacy_casting.py'
optim_wrapper = dict(optimizer=dict(lr=2e-5))
train_dataloader = dict(batch_size=32)
