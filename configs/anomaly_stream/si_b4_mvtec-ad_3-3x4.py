_base_ = ['./finetune_b4_mvtec-ad_3-3x4.py', '../_base_/methods/si.py']
