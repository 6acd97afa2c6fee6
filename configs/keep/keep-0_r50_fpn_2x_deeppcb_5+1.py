_base_ = ['../gfl_stream/finetune_r50_fpn_2x_deeppcb_5+1.py', '../_base_/methods/keep.py']
