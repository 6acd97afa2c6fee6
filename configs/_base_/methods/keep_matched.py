# keep, for 24-epoch increments that bring half of the images: as many iterations as training
# on all images has. Warm-up, the learning rates (the backbone's is 0.3 of that of neck and
# head in the CPU presets), norm layers and frozen stages are those of step 0.
_base_ = './keep.py'
method = dict(train_cfg=dict(max_epochs=48), param_scheduler={'1': dict(end=48)})
