_base_ = ['./finetune_mobilenet-v2_fpn_cpu_deeppcb_5+1.py', '../_base_/methods/new_only.py']
