_base_ = ['../gfl_stream/finetune_r50_fpn_2x_neu-det_5+1.py', '../_base_/methods/erd.py']
