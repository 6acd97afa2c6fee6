_base_ = ['./finetune_toy_3-1x2.py', '../_base_/methods/si.py']
