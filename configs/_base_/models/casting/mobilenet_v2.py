# MobileNetV2 with two classes, for images of any size: 2,226,434 parameters, 2,562 of
# them in the head. Not in the published study: the pretrained network for a CPU.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='MobileNetV2',
        # torchvision's IMAGENET1K weights under mmpretrain's names; made once by
        #   python tools/model_converters/torchvision_mobilenet_v2.py \
        #       data/weights/mobilenet_v2-b0353104.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            checkpoint='data/weights/mobilenet_v2-in1k-mmpretrain.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=1280))
