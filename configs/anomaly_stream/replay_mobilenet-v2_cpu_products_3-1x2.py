_base_ = ['./finetune_mobilenet-v2_cpu_products_3-1x2.py', '../_base_/methods/replay.py']
