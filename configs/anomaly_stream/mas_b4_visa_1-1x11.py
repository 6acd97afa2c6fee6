_base_ = ['./finetune_b4_visa_1-1x11.py', '../_base_/methods/mas.py']
