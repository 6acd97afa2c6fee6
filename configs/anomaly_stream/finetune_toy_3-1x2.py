# Three toy products, then two more, one after the other; data/toy/products is made by
# tools/misc/make_toy_data.py. The frozen backbone has random weights, drawn from the
# seed of the run: enough for textures, and nothing to download.
_base_ = [
    '../_base_/models/iuf_b4.py', '../_base_/datasets/toy_products.py',
    '../_base_/schedules/adamw_anomaly.py', '../_base_/anomaly_runtime.py',
    '../_base_/streams/anomaly.py'
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet',
        depth=18,
        base_channels=16,
        stem_channels=16,
        out_indices=(0, 1, 2)),
    in_channels=112,
    transformer=dict(grid=8, width=64, depth=2, heads=4, ffn=256))
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = []
default_hooks = dict(
    checkpoint=dict(interval=10),
    feature_cache=dict(type='mmdefect.FeatureCacheHook'))

stream = dict(
    protocol=[['cloth', 'marble', 'wood'], ['metal'], ['tiles']],
    base=dict(train_cfg=dict(max_epochs=60)),
    increment=dict(train_cfg=dict(max_epochs=60)))
