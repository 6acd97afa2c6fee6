# EfficientNet-Lite0: 24 + 40 + 112 channels at strides 4, 8 and 16. Quantises well.
encoder = dict(
    backbone=dict(
        type='mmdefect.EfficientNetLite',
        arch='lite0',
        out_indices=(2, 3, 4),
        # timm's tf_efficientnet_lite0, renamed once: data/README.md, Weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/efficientnet_lite0-mmpretrain.pth')),
    in_channels=176,
    grid=28,
    # TensorFlow's: not ImageNet's mean and deviation.
    data_preprocessor=dict(
        type='mmdefect.AnomalyDataPreprocessor',
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0)))
