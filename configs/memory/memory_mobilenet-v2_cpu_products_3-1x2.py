# Five products, each with a bank of its own; MobileNetV2's features from a cache.
_base_ = [
    '../_base_/models/memory.py', '../_base_/models/encoders/mobilenet-v2.py',
    '../_base_/datasets/products.py', '../_base_/schedules/product_memory.py'
]
model = dict(**_base_.encoder)
# Every image counts, also those of the last batch.
train_dataloader = dict(num_workers=0, drop_last=False)
test_dataloader = dict(num_workers=0)
stream = dict(protocol='3-1x2')
default_hooks = dict(
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))
