# ResNet-50 with two classes, for images of any size: 23,512,130 parameters, 4,098 of them
# in the head. Not in the published study.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet',
        depth=50,
        style='caffe',
        # Keras' ImageNet weights, turned into those for RGB images; made once by
        #   python tools/model_converters/casting_weights.py --arch resnet50_caffe --rgb \
        #       package/ResNet50 data/weights/resnet50_caffe-rgb-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/resnet50_caffe-rgb-mmpretrain.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=2048))
