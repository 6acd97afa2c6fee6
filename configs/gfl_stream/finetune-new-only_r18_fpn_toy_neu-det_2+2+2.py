_base_ = ['./finetune_r18_fpn_toy_neu-det_2+2+2.py', '../_base_/methods/new_only.py']
