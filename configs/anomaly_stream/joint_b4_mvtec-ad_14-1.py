# The upper bound: every step trains anew on all products so far, as long as the base.
_base_ = './finetune_b4_mvtec-ad_14-1.py'
stream = dict(
    train_on='seen', init='scratch',
    increment=dict(_delete_=True, **_base_.stream.base), steps=dict(_delete_=True))
