_base_ = ['../gfl_stream/finetune_mobilenet-v2_fpn_cpu_neu-det_1-1x5.py', '../_base_/methods/keep.py']
