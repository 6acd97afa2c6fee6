# GFL on DeepPCB at a size that trains on a CPU: MobileNetV2, 64 channels, half the pixels
# a side.
_base_ = './gfl_r50_fpn_2x_deeppcb.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdefect.DetectionMobileNetV2',
        out_indices=(2, 4, 6),
        # As the parent: everything up to stride 4 stays as pretrained.
        frozen_stages=2,
        # The batch-norm statistics of this file are re-estimated: keep them.
        norm_eval=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='data/weights/mobilenet_v2-in1k-mmdet.pth')),
    # Defects are 5 to 50 px here: no level beyond stride 32.
    neck=dict(
        in_channels=[32, 96, 320], out_channels=64, start_level=0,
        add_extra_convs=False, num_outs=3),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(octave_base_scale=3, strides=[8, 16, 32])))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(320, 320), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(cache_gb=2, pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=8, num_workers=0, dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader

# SGD at the parent's 1e-3 does not move a new neck and head in 8 epochs.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.0001),
    clip_grad=dict(max_norm=10),
    # The backbone is pretrained, neck and head are not.
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))))
train_cfg = dict(max_epochs=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min=0, begin=0, end=8, by_epoch=True,
        convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=8)
