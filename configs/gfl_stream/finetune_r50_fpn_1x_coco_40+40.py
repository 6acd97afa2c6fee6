# First 40 of COCO's 80 classes, then the last 40 (the protocol of ERD, CVPR 2022).
_base_ = ['../gfl/gfl_r50_fpn_1x_coco.py', '../_base_/streams/detection.py']

stream = dict(protocol='40+40')
