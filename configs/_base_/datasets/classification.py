# Defective or not, images one label each; a dataset adds where they are and a pipeline.
data_preprocessor = dict(
    num_classes=2,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True)

train_dataloader = dict(
    batch_size=32,
    num_workers=2,
    # MMEngine's workers repeat their random numbers every epoch.
    worker_init_fn=dict(type='mmdefect.seed_worker'),
    sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(
    batch_size=32,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False))
test_dataloader = val_dataloader

val_evaluator = dict(type='mmdefect.DefectClassMetric')
test_evaluator = val_evaluator
