# As with MobileNetV2, on DINOv2's features: what of a method's scores is the encoder's.
_base_ = [
    './finetune_mobilenet-v2_cpu_products_3-1x2.py',
    '../_base_/models/encoders/dinov2-small.py'
]
model = dict(
    backbone=dict(_base_.encoder.backbone, _delete_=True),
    in_channels=_base_.encoder.in_channels,
    # One place a token of DINOv2.
    transformer=dict(grid=16))
