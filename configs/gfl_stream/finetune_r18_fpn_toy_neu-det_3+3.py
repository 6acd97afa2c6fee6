# The NEU-DET stream at the size of `make demo`: under a minute a step on two cores.
_base_ = ['../gfl/gfl_r18_fpn_toy_neu-det.py', '../_base_/streams/detection.py']

stream = dict(
    protocol='3+3',
    increment=dict(
        model=dict(backbone=dict(norm_eval=True)),
        optim_wrapper=dict(optimizer=dict(lr=0.001)),
        train_cfg=dict(max_epochs=15),
        param_scheduler={'1': dict(end=15)}))
