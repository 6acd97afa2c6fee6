# Five products remembered instead of reconstructed; MobileNetV2's features from a cache.
_base_ = [
    '../_base_/models/coreset_b4.py', '../_base_/datasets/products.py',
    '../_base_/schedules/coreset.py'
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
stream = dict(protocol='3-1x2')
default_hooks = dict(
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))
