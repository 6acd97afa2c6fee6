_base_ = ['../gfl_stream/finetune_r50_fpn_2x_neu-det_4+2.py', '../_base_/methods/erd.py']
