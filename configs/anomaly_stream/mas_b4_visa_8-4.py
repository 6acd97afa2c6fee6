_base_ = ['./finetune_b4_visa_8-4.py', '../_base_/methods/mas.py']
