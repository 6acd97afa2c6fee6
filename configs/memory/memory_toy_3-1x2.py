# Toy products, each with a bank of its own; features as in the toy streams.
_base_ = [
    '../_base_/models/memory.py', '../_base_/datasets/toy_products.py',
    '../_base_/schedules/product_memory.py'
]
model = dict(
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=18,
        base_channels=16,
        stem_channels=16,
        out_indices=(0, 1, 2)),
    in_channels=112,
    grid=16,
    per_class=200)
# Every image counts, also those of the last batch.
train_dataloader = dict(drop_last=False)
stream = dict(protocol=[['cloth', 'marble', 'wood'], ['metal'], ['tiles']])
default_hooks = dict(
    feature_cache=dict(type='mmdefect.FeatureCacheHook'))
