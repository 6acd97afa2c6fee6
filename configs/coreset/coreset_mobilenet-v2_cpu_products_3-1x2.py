# Five products remembered instead of reconstructed; MobileNetV2's features from a cache.
_base_ = [
    '../_base_/models/coreset_b4.py', '../_base_/datasets/products.py',
    '../_base_/schedules/memory.py', '../_base_/anomaly_runtime.py'
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV2',
        # Strides 2, 4, 8 and 16, as EfficientNet-b4's taps.
        out_indices=(0, 1, 2, 4),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='data/weights/mobilenet_v2-in1k-mmpretrain.pth')),
    in_channels=168)
# Every image counts, also those of the last batch.
train_dataloader = dict(num_workers=0, drop_last=False)
test_dataloader = dict(num_workers=0)
# Nothing is trained: several processes have no gradients to average.
model_wrapper_cfg = dict(type='mmdefect.ReplicatedModel')
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.AnomalyStream',
    protocol='3-1x2',
    class_keys=['memory', 'filled'])
# Nor is there anything that a later method could need.
default_hooks = dict(
    feature_statistics=None,
    weight_importance=None,
    coreset=dict(type='mmdefect.CoresetHook'),
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))
