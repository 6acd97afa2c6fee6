# GFL on DeepPCB at a size that trains on a CPU: half the pixels a side.
_base_ = './gfl_mobilenet-v2_fpn_cpu_neu-det.py'

dataset_type = 'mmdefect.DeepPCBDataset'
data_root = 'data/DeepPCB/'
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    # Defects are 5 to 50 px here: no level beyond stride 32.
    neck=dict(add_extra_convs=False, num_outs=3),
    bbox_head=dict(anchor_generator=dict(octave_base_scale=3, strides=[8, 16, 32])))

size = dict(type='Resize', scale=(320, 320), keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:2], size, *_base_.train_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]
boards = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(dataset=dict(boards, cache_gb=2, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(boards, pipeline=test_pipeline))
val_dataloader = test_dataloader
del size, boards
test_evaluator = dict(ann_file=data_root + 'coco/test.json')
val_evaluator = test_evaluator

train_cfg = dict(max_epochs=8)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=8)]
