# Ten products, one a step, at 252 px; DINOv2's features from a cache.
_base_ = [
    '../_base_/models/memory.py', '../_base_/models/encoders/dinov2-small.py',
    '../_base_/datasets/ten_products_252.py', '../_base_/schedules/product_memory.py'
]
model = dict(
    _base_.encoder, grid=18, backbone=dict(_base_.encoder.backbone, img_size=252))
stream = dict(protocol='1-1x9')
default_hooks = dict(
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))
