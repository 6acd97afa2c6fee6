# ResNet-18 with two classes, for images of 300 x 300 pixels: 11,177,538 parameters,
# 1,026 of them in the head.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=18,
        # torchvision's IMAGENET1K_V1 weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch resnet18 \
        #       resnet18-f37072fd.pth data/weights/resnet18-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/resnet18-mmpretrain.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=512))
