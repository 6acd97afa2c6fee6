_base_ = ['./finetune_b4_mvtec-ad_10-5.py', '../_base_/methods/replay.py']
