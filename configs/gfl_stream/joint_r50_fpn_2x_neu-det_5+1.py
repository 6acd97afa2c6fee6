_base_ = './joint_r50_fpn_2x_neu-det_3+3.py'
stream = dict(protocol='5+1')
