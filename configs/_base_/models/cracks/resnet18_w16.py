# ResNet-18 with a quarter of the channels and two classes, from scratch: 700,000
# parameters, for images of any size.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, stem_channels=16, base_channels=16),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=128))
