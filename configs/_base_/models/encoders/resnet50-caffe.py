# ResNet-50 of Caffe's style, tapped as resnet50.py: Keras' ImageNet weights, turned once
# into those for RGB images (data/README.md, Weights).
encoder = dict(
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        out_indices=(1, 2),
        style='caffe',
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/resnet50_caffe-rgb-mmpretrain.pth')),
    in_channels=1536,
    grid=28,
    data_preprocessor=dict(
        type='mmdefect.AnomalyDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))
