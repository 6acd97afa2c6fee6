# mmdet's GFL on COCO: the sanity check of an unmodified head.
_base_ = [
    '../_base_/models/gfl_r50_fpn.py', '../_base_/datasets/coco.py',
    '../_base_/schedules/sgd_1x.py', '../_base_/default_runtime.py'
]
