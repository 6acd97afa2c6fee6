_base_ = ['../gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py', '../_base_/methods/keep.py']
stream = dict(memory=dict(drawn=10))
