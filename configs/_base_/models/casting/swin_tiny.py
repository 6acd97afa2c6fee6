# Swin-T with two classes, for images of 224 x 224 pixels: 27,520,892 parameters, 1,538
# of them in the head.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='SwinTransformer',
        arch='tiny',
        img_size=224,
        # torchvision's.
        drop_path_rate=0.2,
        # torchvision's IMAGENET1K_V1 weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch swin_tiny \
        #       swin_t-704ceda3.pth data/weights/swin_tiny-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/swin_tiny-mmpretrain.pth')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=768))
