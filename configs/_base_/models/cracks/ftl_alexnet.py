# FTL's AlexNet with two classes, trained from scratch: 3,747,200 parameters of the
# convolutions, and 512 for each feature pixel of the last map in the head (3 x 3 at
# 112 px, so 2,304 features).
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdefect.FTLAlexNet'),
    neck=dict(type='mmdefect.FlattenNeck'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=256 * 3 * 3))
