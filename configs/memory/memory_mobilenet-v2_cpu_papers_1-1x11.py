# Twelve papers of about 36 good patches each, one a step; features from a cache.
_base_ = [
    '../_base_/models/memory.py', '../_base_/models/encoders/mobilenet-v2.py',
    '../_base_/datasets/papers.py', '../_base_/schedules/product_memory.py'
]
model = dict(**_base_.encoder)
stream = dict(protocol='1-1x11')
default_hooks = dict(
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))
