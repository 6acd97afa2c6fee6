# MobileNetV2, the smallest encoder: 24 + 32 + 96 channels at strides 4, 8 and 16.
# An encoder is a frozen backbone, its channels, a grid that fits images of 224 px, and
# the normalisation that it was trained with. A preset takes it by
#   model = dict(**_base_.encoder)
encoder = dict(
    backbone=dict(
        type='mmpretrain.MobileNetV2',
        out_indices=(1, 2, 4),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='data/weights/mobilenet_v2-in1k-mmpretrain.pth')),
    in_channels=152,
    grid=28,
    data_preprocessor=dict(
        type='mmdefect.AnomalyDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))
