# ConvNeXt-T with two classes, for images of 300 x 300 pixels: 27,821,666 parameters,
# 1,538 of them in the head. It averages over the image before its last norm: no neck.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ConvNeXt',
        arch='tiny',
        # torchvision's.
        drop_path_rate=0.1,
        # torchvision's IMAGENET1K_V1 weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch convnext_tiny \
        #       convnext_tiny-983f1562.pth data/weights/convnext_tiny-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/convnext_tiny-mmpretrain.pth')),
    head=dict(type='mmdefect.DefectClsHead', in_channels=768))
