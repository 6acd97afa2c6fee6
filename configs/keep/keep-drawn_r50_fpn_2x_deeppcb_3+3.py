_base_ = ['../gfl_stream/finetune_r50_fpn_2x_deeppcb_3+3.py', '../_base_/methods/keep.py']
stream = dict(memory=dict(drawn=10))
