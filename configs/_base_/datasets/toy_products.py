# Toy products: six textures of 128x128 (data/README.md), sized for a CPU.
_base_ = './products.py'
data_root = 'data/toy/products/'
# In the order of the stream.
metainfo = dict(
    classes=('cloth', 'dots', 'marble', 'metal', 'tiles', 'wood'))

size = dict(type='Resize', scale=(128, 128), keep_ratio=False, backend='pillow')
train_pipeline = [_base_.train_pipeline[0], size, *_base_.train_pipeline[2:]]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
test_dataloader = dict(
    num_workers=0,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
del size
