_base_ = ['../gfl_stream/finetune_r50_fpn_1x_coco_70+10.py', '../_base_/methods/sd_idd_release_uneven.py']
