# GFL on a ResNet-50 of Caffe's style: Keras' ImageNet weights, which read BGR and take off
# means only. Images are normalised as the weights were made for; what differs is refused.
_base_ = './gfl_r50_fpn.py'

model = dict(
    data_preprocessor=dict(
        mean=[103.939, 116.779, 123.68], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        # The stride of a block stands in its first convolution.
        style='caffe',
        # Made once: data/README.md, Weights. init_cfg=None starts from random weights.
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/resnet50_caffe-mmpretrain.pth')))
