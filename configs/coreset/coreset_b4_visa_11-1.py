_base_ = [
    '../_base_/models/coreset_b4.py', '../_base_/datasets/visa.py',
    '../_base_/schedules/coreset.py'
]
# Every image counts, also those of the last batch.
train_dataloader = dict(drop_last=False)
stream = dict(protocol='11-1')
