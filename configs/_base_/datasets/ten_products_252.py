# The ten products at 252 x 252, a multiple of the 14 px of DINOv2's patches.
_base_ = './ten_products.py'
train_pipeline = [
    _base_.train_pipeline[0],
    dict(type='Resize', scale=(252, 252), keep_ratio=False, backend='pillow'),
    *_base_.train_pipeline[2:],
]
test_pipeline = [train_pipeline[0], train_pipeline[1], *_base_.test_pipeline[2:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
