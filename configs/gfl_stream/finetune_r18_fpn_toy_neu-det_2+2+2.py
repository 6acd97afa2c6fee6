_base_ = './finetune_r18_fpn_toy_neu-det_3+3.py'
stream = dict(protocol='2+2+2')
