# ResNet-50 of Caffe's style, tapped as resnet50.py: Keras' ImageNet weights, turned once
# into those for RGB images (data/README.md, Weights).
_base_ = './resnet50.py'

encoder = dict(
    backbone=dict(
        style='caffe',
        init_cfg=dict(
            prefix='backbone',
            checkpoint='data/weights/resnet50_caffe-rgb-mmpretrain.pth')))
