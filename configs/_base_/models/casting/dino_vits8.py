# ViT-S/8 pretrained without labels (DINO) with two classes, for images of 224 x 224
# pixels: 21,671,042 parameters, 770 of them in the head, which reads the class token.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        # A width of 384; mmpretrain's 'small' is another network.
        arch='deit-small',
        img_size=224,
        patch_size=8,
        # DINO's weights (ViT-S/8, backbone only) under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch dino_vits8 \
        #       dino_deitsmall8_pretrain.pth data/weights/dino_vits8-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/dino_vits8-mmpretrain.pth')),
    head=dict(type='mmdefect.DefectClsHead', in_channels=384))
