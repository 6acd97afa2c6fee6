# Your own products in MVTec-AD's folders (data/README.md); here five of 256x256.
dataset_type = 'mmdefect.AnomalyDataset'
data_root = 'data/products/'
# In the order of the stream.
metainfo = dict(
    classes=('bottle', 'magnetic_tile', 'transistor', 'pcb', 'casting'))

train_pipeline = [
    dict(type='mmdefect.LoadAnomalyImage'),
    # Pillow's bilinear resize reduces with anti-aliasing, OpenCV's does not.
    dict(type='Resize', scale=(224, 224), keep_ratio=False, backend='pillow'),
    # The paper augments nothing: features may be cached as long as all three are off.
    dict(type='mmdefect.AnomalyFlipRotate', hflip=False, vflip=False, rotate=False),
    dict(type='mmdefect.PackAnomalyInputs'),
]
test_pipeline = [
    dict(type='mmdefect.LoadAnomalyImage'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False, backend='pillow'),
    # At the resolution of the image files.
    dict(type='mmdefect.LoadAnomalyMask'),
    dict(type='mmdefect.PackAnomalyInputs'),
]
train_dataloader = dict(
    batch_size=24,
    num_workers=4,
    persistent_workers=False,
    worker_init_fn=dict(type='mmdefect.seed_worker'),
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        split='train',
        pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        split='test',
        pipeline=test_pipeline))
test_evaluator = dict(type='mmdefect.AnomalyMetric', mode='streaming')
