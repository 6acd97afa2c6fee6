_base_ = ['./finetune_r50_fpn_1x_coco_40+40.py', '../_base_/methods/new_only.py']
