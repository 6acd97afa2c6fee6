_base_ = ['../gfl_stream/finetune_r18_fpn_toy_neu-det_2+2+2.py', '../_base_/methods/keep.py']
