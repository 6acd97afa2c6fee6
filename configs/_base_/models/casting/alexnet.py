# AlexNet with two classes, for images of 300 x 300 pixels: 57,012,034 parameters, 8,194
# of them in the head. mmpretrain's own lacks the adaptive pooling and fails at 300.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mmdefect.AlexNetAdaptive',
        # torchvision's IMAGENET1K_V1 weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch alexnet \
        #       alexnet-owt-7be5be79.pth data/weights/alexnet-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/alexnet-mmpretrain.pth')),
    head=dict(type='mmdefect.DefectClsHead', in_channels=4096))
