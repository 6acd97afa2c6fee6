# VGG16's convolutions with two classes, as FTL took it: 14,714,688 parameters, 3 x 3
# pixels of 512 channels at 112 px.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VGG',
        depth=16,
        # mmpretrain's ImageNet weights; FTL had Keras's.
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/vgg/'
            'vgg16_batch256_imagenet_20210208-db26f1a5.pth')),
    neck=dict(type='mmdefect.FlattenNeck'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=512 * 3 * 3))
