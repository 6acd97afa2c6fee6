# Ten products, one a step, at 256 px; MobileNetV2's features from a cache.
_base_ = [
    '../_base_/models/memory.py', '../_base_/models/encoders/mobilenet-v2.py',
    '../_base_/datasets/ten_products.py', '../_base_/schedules/product_memory.py'
]
model = dict(_base_.encoder, grid=32)
stream = dict(protocol='1-1x9')
default_hooks = dict(
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))
