_base_ = ['./finetune_b4_mvtec-ad_14-1.py', '../_base_/methods/replay.py']
