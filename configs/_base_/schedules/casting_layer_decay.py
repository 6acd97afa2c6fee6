# As casting.py, for transformers: layers next to the image change less.
_base_ = './casting.py'

optim_wrapper = dict(
    constructor='LearningRateDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True, layer_decay_rate=0.75, norm_decay_mult=0.0, bias_decay_mult=0.0))
