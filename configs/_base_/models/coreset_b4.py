# PatchCore's memory, a place for every product, on the features of IUF.
model = dict(
    type='mmdefect.IncrementalCoreset',
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
    grid=14,
    per_class=500)
