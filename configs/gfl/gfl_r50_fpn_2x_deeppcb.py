# GFL on all six kinds of DeepPCB at once.
_base_ = [
    '../_base_/models/gfl_r50_fpn.py', '../_base_/datasets/deeppcb.py',
    '../_base_/schedules/sgd_2x.py', '../_base_/default_runtime.py'
]
model = dict(bbox_head=dict(num_classes=6))
