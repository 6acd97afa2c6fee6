# First 40 of COCO's 80 classes, then the last 40 (the protocol of ERD, CVPR 2022).
_base_ = '../gfl/gfl_r50_fpn_1x_coco.py'

runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.DetectionStream',
    protocol='40+40',
    base=dict(),
    increment=dict(),
    steps={},
    start_from=None)
