# ViT-B/16 with two classes, for images of 224 x 224 pixels: 85,800,194 parameters,
# 1,538 of them in the head, which reads the class token.
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch='b',
        img_size=224,
        patch_size=16,
        # torchvision's IMAGENET1K_V1 weights under mmpretrain's names; made once by
        #   python tools/model_converters/casting_weights.py --arch vit_b16 \
        #       vit_b_16-c867db91.pth data/weights/vit_b16-mmpretrain.pth
        # init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/vit_b16-mmpretrain.pth')),
    head=dict(type='mmdefect.DefectClsHead', in_channels=768))
