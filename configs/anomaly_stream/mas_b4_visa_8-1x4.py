_base_ = ['./finetune_b4_visa_8-1x4.py', '../_base_/methods/mas.py']
