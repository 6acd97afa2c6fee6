# IUF (ECCV 2024) on EfficientNet-b4: 24 + 32 + 56 + 160 channels on a grid of 14 x 14.
model = dict(
    type='mmdefect.IUF',
    backbone=dict(
        type='mmpretrain.EfficientNet',
        arch='b4',
        out_indices=(1, 2, 3, 4),
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/efficientnet/'
            'efficientnet-b4_3rdparty_8xb32-aa_in1k_20220119-45b8bd2b.pth')),
    in_channels=272,
    num_classes=15,
    transformer=dict(grid=14, width=256, depth=4, heads=8, ffn=1024, neighbours=0),
    # On the frozen features; source='image' is the release's, at 97 % of the cost.
    conditioner=dict(source='features', heads=4),
    compression=dict(type='mmdefect.SemanticCompressionLoss', weight=10.0),
    classification=1.0,
    jitter=20.0)
