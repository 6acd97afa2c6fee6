# GFL at a size that trains on a CPU: MobileNetV2, 64 channels, images of 200 px as they
# are.
_base_ = './gfl_r50_fpn_2x_neu-det.py'

model = dict(
    # 200 px are a multiple of 8 but not of 32: the parent's padding is a quarter more.
    data_preprocessor=dict(pad_size_divisor=8),
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
    neck=dict(in_channels=[32, 96, 320], out_channels=64, start_level=0, num_outs=4),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # Images are a quarter of the parent's size: priors of 32 to 256 px.
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32, 64])))

size = dict(type='Resize', scale=(200, 200), keep_ratio=True)
train_pipeline = [
    *_base_.train_pipeline[:2],
    size,
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    _base_.train_pipeline[-1],
]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(cache_gb=1, pipeline=train_pipeline))
test_dataloader = dict(
    batch_size=8, num_workers=0, dataset=dict(pipeline=test_pipeline))
val_dataloader = test_dataloader
del size

# SGD at the parent's 1e-3 does not move a new neck and head in 24 epochs.
optim_wrapper = dict(
    # AdamW; `paramwise_cfg` makes a group of every parameter, which this steps at once.
    optimizer=dict(
        _delete_=True, type='mmdefect.MergedAdamW', lr=0.001, weight_decay=0.0001),
    clip_grad=dict(max_norm=10),
    # The backbone is pretrained, neck and head are not.
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR', eta_min=0, begin=0, end=24, by_epoch=True,
        convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=8)
