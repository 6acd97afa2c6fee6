_base_ = './joint_r50_fpn_1x_coco_40+40.py'
stream = dict(protocol='40+20+20')
