_base_ = ['./finetune_r18_fpn_toy_neu-det_3+3.py', '../_base_/methods/new_only.py']
