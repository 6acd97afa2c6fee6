# Your own products in MVTec-AD's folders (data/README.md); here five of 256x256.
_base_ = './anomaly.py'
data_root = 'data/products/'
# In the order of the stream.
metainfo = dict(
    classes=('bottle', 'magnetic_tile', 'transistor', 'pcb', 'casting'))

# Scored at the resolution of the image files.
test_pipeline = [
    *_base_.test_pipeline[:2],
    dict(type='mmdefect.LoadAnomalyMask'),
    _base_.test_pipeline[3],
]
train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
