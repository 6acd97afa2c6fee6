_base_ = ['./finetune_atss-r18_fpn_toy_neu-det_3+3.py', '../_base_/methods/lwf_atss.py']
