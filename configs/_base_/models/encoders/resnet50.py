# ResNet-50 as PatchCore taps it: layers 2 and 3, 512 + 1,024 channels at strides 8 and 16.
# Weights of Caffe or Keras, under torchvision's names, stride in another place: set
# backbone.style to 'caffe' with them.
encoder = dict(
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        out_indices=(1, 2),
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    in_channels=1536,
    grid=28,
    data_preprocessor=dict(
        type='mmdefect.AnomalyDataPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375)))
