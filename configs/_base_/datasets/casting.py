# Pump impellers seen from above, defective or ok; grey images of 300 px.
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

data_preprocessor = dict(
    num_classes=2,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True)

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        protocol=protocol,
        split='train',
        # 270 kB an image decoded, 1.6 GB all.
        cache_gb=2.0,
        pipeline=train_pipeline),
    # MMEngine's workers repeat their random numbers every epoch.
    worker_init_fn=dict(type='mmdefect.seed_worker'),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        protocol=protocol,
        split='val',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False))
test_dataloader = dict(
    batch_size=32,
    num_workers=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        protocol=protocol,
        split='test',
        pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False))

val_evaluator = dict(type='mmdefect.DefectClassMetric')
test_evaluator = dict(type='mmdefect.DefectClassMetric')
