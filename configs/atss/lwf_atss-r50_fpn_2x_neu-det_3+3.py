_base_ = ['./finetune_atss-r50_fpn_2x_neu-det_3+3.py', '../_base_/methods/lwf_atss.py']
