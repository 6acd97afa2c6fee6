# EfficientNetV2-S with two classes, for images of 300 x 300 pixels: 20,180,050
# parameters, 2,562 of them in the head; no dropout before it, as in the study.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='EfficientNetV2',
        arch='s',
        # mmpretrain pads as TensorFlow does; torchvision's weights need torchvision's.
        conv_cfg=dict(type='mmdefect.HalfPaddedConv2d'),
        # torchvision's; it divides by the number of blocks, mmpretrain by one less.
        drop_path_rate=0.2,
        # torchvision's IMAGENET1K_V1 weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch efficientnetv2_s \
        #       efficientnet_v2_s-dd5fe13b.pth \
        #       data/weights/efficientnetv2_s-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/efficientnetv2_s-mmpretrain.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=1280))
