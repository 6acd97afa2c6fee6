_base_ = ['../gfl_stream/finetune_mobilenet-v2_fpn_cpu_neu-det_2+2+2.py', '../_base_/methods/keep.py']
stream = dict(memory=dict(images=10))
