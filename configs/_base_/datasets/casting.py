# Pump impellers seen from above, defective or ok; grey images of 300 px.
_base_ = './classification.py'
dataset_type = 'mmdefect.CastingDataset'
data_root = 'data/casting_data/'
# No image of the train split has a relative in val or test.
protocol = 'cluster_level'

# The part is round: any rotation is another view of it. Grey images have no hue.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(300, 300)),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='mmdefect.RandomRigid',
        rotate=180,
        translate=0.05,
        scale=(0.95, 1.05),
        border='reflect'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(300, 300)),
    dict(type='PackInputs'),
]

images = dict(
    type=dataset_type, data_root=data_root, protocol=protocol, pipeline=test_pipeline)
# 270 kB an image decoded, 1.6 GB all.
train_dataloader = dict(
    dataset=dict(images, split='train', cache_gb=2.0, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(images, split='val'))
test_dataloader = dict(dataset=dict(images, split='test'))
del images
