# A stream of memories: one look at every image, kept by a hook.
_base_ = ['./memory.py', '../anomaly_runtime.py']

# Nothing is trained: several processes have no gradients to average.
model_wrapper_cfg = dict(type='mmdefect.ReplicatedModel')
runner_type = 'mmdefect.StreamRunner'
stream = dict(type='mmdefect.AnomalyStream', class_keys=['memory', 'filled'])
# Nor is there anything that a later method could need.
default_hooks = dict(
    feature_statistics=None,
    weight_importance=None,
    coreset=dict(type='mmdefect.CoresetHook'))
