_base_ = './joint_mobilenet-v2_fpn_cpu_neu-det_3+3.py'
stream = dict(protocol='1-1x5')
