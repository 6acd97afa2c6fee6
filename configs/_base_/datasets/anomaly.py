# Good images to train on, good and defective ones to test on, scored as in the papers; a
# dataset adds its type and root.
dataset_type = 'mmdefect.AnomalyDataset'
data_root = 'data/'

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
    # Comparable with the paper, at the size of the network's input; 'any' keeps defects
    # that would vanish in it. Without `size`: the resolution of the image files.
    dict(type='mmdefect.LoadAnomalyMask', size=(224, 224), reduce='any'),
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
        split='test',
        pipeline=test_pipeline))
test_evaluator = dict(type='mmdefect.AnomalyMetric', mode='streaming')
