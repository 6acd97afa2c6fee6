# Bottle, magnetic tile and transistor, then pcb, then casting, at a size that trains on
# a CPU: features of MobileNetV2 from a cache, a transformer half as wide and deep.
_base_ = [
    '../_base_/models/iuf_b4.py', '../_base_/datasets/products.py',
    '../_base_/schedules/adamw_anomaly.py', '../_base_/anomaly_runtime.py',
    '../_base_/streams/anomaly.py'
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
    in_channels=168,
    transformer=dict(width=128, depth=2, heads=4, ffn=512))
train_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
# 1,000 epochs of the paper's batches are out of reach: fewer steps, so larger ones.
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = []
default_hooks = dict(
    checkpoint=dict(interval=5),
    feature_cache=dict(
        type='mmdefect.FeatureCacheHook', folder='work_dirs/feature_cache'))

stream = dict(
    protocol='3-1x2',
    base=dict(train_cfg=dict(max_epochs=30)),
    increment=dict(train_cfg=dict(max_epochs=20)))
