_base_ = './joint_r18_fpn_toy_neu-det_3+3.py'
stream = dict(protocol='5+1')
