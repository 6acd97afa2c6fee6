_base_ = [
    '../gfl_stream/finetune_r50_fpn_2x_neu-det_1-1x5.py', '../_base_/methods/sd_idd_release.py'
]
# Its loss_kd compares as many new classes as old ones.
method = dict(model=dict(distill=dict(released_classes=False)))
