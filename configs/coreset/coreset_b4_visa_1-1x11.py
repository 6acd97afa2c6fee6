_base_ = [
    '../_base_/models/coreset_b4.py', '../_base_/datasets/visa.py',
    '../_base_/schedules/memory.py', '../_base_/anomaly_runtime.py'
]
# Every image counts, also those of the last batch.
train_dataloader = dict(drop_last=False)
# Nothing is trained: several processes have no gradients to average.
model_wrapper_cfg = dict(type='mmdefect.ReplicatedModel')
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.AnomalyStream', protocol='1-1x11', class_keys=['memory', 'filled'])
# Nor is there anything that a later method could need.
default_hooks = dict(
    feature_statistics=None,
    weight_importance=None,
    coreset=dict(type='mmdefect.CoresetHook'))
