_base_ = './finetune_mobilenet-v2_fpn_cpu_deeppcb_3+3.py'
stream = dict(protocol='5+1')
