_base_ = ['../gfl_stream/finetune_r50_fpn_1x_coco_40+40.py', '../_base_/methods/erd.py']
