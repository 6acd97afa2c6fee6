_base_ = ['../gfl_stream/finetune_r50_fpn_2x_neu-det_1-1x5.py', '../_base_/methods/keep.py']
