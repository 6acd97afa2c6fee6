_base_ = ['../gfl_stream/finetune_mobilenet-v2_fpn_cpu_deeppcb_3+3.py', '../_base_/methods/keep.py']
stream = dict(memory=dict(drawn=10))
