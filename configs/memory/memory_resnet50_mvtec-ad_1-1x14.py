# MVTec-AD, one product a step.
_base_ = [
    '../_base_/models/memory.py', '../_base_/models/encoders/resnet50.py',
    '../_base_/datasets/mvtec_ad.py', '../_base_/schedules/product_memory.py'
]
model = dict(**_base_.encoder)
# Every image counts, also those of the last batch.
train_dataloader = dict(drop_last=False)
stream = dict(protocol='1-1x14')
