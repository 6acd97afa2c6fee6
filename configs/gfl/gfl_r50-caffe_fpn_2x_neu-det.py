# As gfl_r50_fpn_2x_neu-det.py, from weights that a package registry has.
_base_ = [
    '../_base_/models/gfl_r50_caffe_fpn.py', '../_base_/datasets/neu_det.py',
    '../_base_/schedules/sgd_2x.py', '../_base_/default_runtime.py'
]
model = dict(bbox_head=dict(num_classes=6))
