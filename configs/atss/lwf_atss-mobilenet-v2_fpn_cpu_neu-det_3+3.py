_base_ = ['./finetune_atss-mobilenet-v2_fpn_cpu_neu-det_3+3.py', '../_base_/methods/lwf_atss.py']
