_base_ = ['./finetune_r50_fpn_2x_deeppcb_5+1.py', '../_base_/methods/new_only.py']
