_base_ = ['./finetune_r18_fpn_toy_neu-det_5+1.py', '../_base_/methods/new_only.py']
