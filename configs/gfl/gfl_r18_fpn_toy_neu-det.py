# GFL at the size of `make demo`: generated images of 96 px, a ResNet-18 of 16 to 128
# channels from scratch. No stream: an ordinary detector, for any OpenMMLab tool.
_base_ = './gfl_r50_fpn_2x_neu-det.py'

data_root = 'data/toy/NEU-DET/'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=18,
        base_channels=16,
        num_stages=4,
        out_indices=(1, 2, 3),
        # From scratch: nothing to freeze, and batch norm learns in step 0 only.
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch'),
    neck=dict(
        in_channels=[32, 64, 128], out_channels=64, start_level=0,
        add_extra_convs=False, num_outs=3),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type='GN', num_groups=8, requires_grad=True),
        # Defects of 10 to 60 px: priors of 32, 64 and 128 px.
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32])),
    test_cfg=dict(score_thr=0.02))

size = dict(type='Resize', scale=(96, 96), keep_ratio=True)
train_pipeline = [
    *_base_.train_pipeline[:2],
    size,
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    _base_.train_pipeline[-1],
]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]
train_dataloader = dict(
    batch_size=12,
    num_workers=0,
    dataset=dict(data_root=data_root, cache_gb=1, pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=12,
    num_workers=0,
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
val_dataloader = test_dataloader
del size
test_evaluator = dict(ann_file=data_root + 'coco/test.json')
val_evaluator = test_evaluator

# SGD at the parent's 1e-3 does not train a network from scratch in 25 epochs.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.002, weight_decay=0.0001),
    clip_grad=dict(max_norm=10))
train_cfg = dict(max_epochs=25)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(
        type='CosineAnnealingLR', eta_min=0, begin=0, end=25, by_epoch=True,
        convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=12)
