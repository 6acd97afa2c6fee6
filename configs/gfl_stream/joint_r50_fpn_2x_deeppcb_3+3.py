_base_ = './finetune_r50_fpn_2x_deeppcb_3+3.py'
stream = dict(
    train_on='seen', init='scratch', increment=dict(_delete_=True))
