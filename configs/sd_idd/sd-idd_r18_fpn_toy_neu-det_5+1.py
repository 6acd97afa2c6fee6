_base_ = ['../gfl_stream/finetune_r18_fpn_toy_neu-det_5+1.py', '../_base_/methods/sd_idd.py']
