# Five products remembered on ResNet-50's features.
_base_ = [
    './coreset_mobilenet-v2_cpu_products_3-1x2.py',
    '../_base_/models/encoders/resnet50-caffe.py'
]
model = dict(
    backbone=dict(_base_.encoder.backbone, _delete_=True),
    in_channels=_base_.encoder.in_channels)
