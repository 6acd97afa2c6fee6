# The upper bound: every step trains from scratch on all images of all classes so far,
# with the settings of the teacher.
_base_ = './finetune_r50_fpn_2x_neu-det_3+3.py'
stream = dict(
    train_on='seen', init='scratch',
    increment=dict(
        _delete_=True,
        train_dataloader={{_base_.stream.base.train_dataloader}}))
