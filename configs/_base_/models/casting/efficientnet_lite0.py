# EfficientNet-Lite0 with two classes, for images of any size: 3,373,570 parameters, 2,562
# of them in the head. Not in the published study: as quick as MobileNetV2, quantises well.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmdefect.EfficientNetLite',
        arch='lite0',
        # TensorFlow's weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch efficientnet_lite0 \
        #       tf_efficientnet_lite0-0aa007d2.pth \
        #       data/weights/efficientnet_lite0-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/efficientnet_lite0-mmpretrain.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=1280))
