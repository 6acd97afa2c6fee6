# Ten real products (data/README.md), one a step; 256 x 256, as most of their files are.
_base_ = './products.py'
data_root = 'data/ten_products/'
metainfo = dict(
    classes=(
        'bottle', 'pill', 'grid', 'screw', 'transistor', 'magnetic_tile', 'pcb',
        'casting', 'cookie', 'toothbrush'))

train_pipeline = [
    _base_.train_pipeline[0],
    dict(type='Resize', scale=(256, 256), keep_ratio=False, backend='pillow'),
    *_base_.train_pipeline[2:],
]
test_pipeline = [train_pipeline[0], train_pipeline[1], *_base_.test_pipeline[2:]]
train_dataloader = dict(
    num_workers=0,
    drop_last=False,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
