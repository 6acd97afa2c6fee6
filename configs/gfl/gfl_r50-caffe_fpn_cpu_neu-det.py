# ResNet-50 at a size that trains on a CPU: images, neck, head and optimizer of the
# MobileNetV2 preset, the backbone of _base_/models/gfl_r50_caffe_fpn.py.
_base_ = './gfl_mobilenet-v2_fpn_cpu_neu-det.py'

model = dict(
    data_preprocessor=dict(
        mean=[103.939, 116.779, 123.68], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        num_stages=4,
        # Strides 8, 16 and 32, as MobileNetV2's.
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='caffe',
        init_cfg=dict(
            type='Pretrained',
            prefix='backbone',
            checkpoint='data/weights/resnet50_caffe-mmpretrain.pth')),
    neck=dict(in_channels=[512, 1024, 2048]))

# Half as long: an epoch takes several times as long.
max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
# A larger backbone is moved less.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
