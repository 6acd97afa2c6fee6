# DINOv2 ViT-S/14: the patch tokens behind blocks 6 and 8, 384 channels each; the last
# blocks see objects rather than surfaces, and are dropped. Images of a multiple of 14.
encoder = dict(
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='dinov2-small',
        img_size=224,
        patch_size=14,
        layer_scale_init_value=1e-5,
        out_indices=(5, 7),
        out_type='featmap',
        # It belongs behind the last block.
        final_norm=False,
        # facebookresearch's or timm's, renamed once: data/README.md, Weights. Made for
        # 518 px; the positions are resized to img_size as they are loaded.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/dinov2_vits14-mmpretrain.pth')),
    in_channels=768,
    # One place a token.
    grid=16,
    data_preprocessor=dict(
        type='mmdefect.AnomalyDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))
