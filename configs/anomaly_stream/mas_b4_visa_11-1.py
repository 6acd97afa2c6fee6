_base_ = ['./finetune_b4_visa_11-1.py', '../_base_/methods/mas.py']
