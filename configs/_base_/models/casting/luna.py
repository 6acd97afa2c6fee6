# LUNA, the casting study's network from scratch, for images of 300 x 300 pixels:
# 115,088 parameters, 41,474 of them in the head. Four poolings leave 64 x 18 x 18, so
# another image size needs other in_channels, or neck=dict(type='GlobalAveragePooling')
# with in_channels=64 for any size.
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdefect.LunaNet'),
    neck=dict(type='mmdefect.FlattenNeck'),
    # The study put a softmax before that of its loss: double_softmax=True does, too.
    head=dict(type='mmdefect.DefectClsHead', in_channels=20736))
