_base_ = [
    '../_base_/models/casting/swin_tiny.py', '../_base_/datasets/casting_224.py',
    '../_base_/schedules/casting.py'
]
# Layers next to the image change less.
optim_wrapper = dict(
    constructor='LearningRateDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True, layer_decay_rate=0.75, norm_decay_mult=0.0, bias_decay_mult=0.0
    ))
