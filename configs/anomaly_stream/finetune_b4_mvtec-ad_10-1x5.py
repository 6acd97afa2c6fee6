# Ten products, then one more five times. Plain fine-tuning of IUF's model.
_base_ = './finetune_b4_mvtec-ad_14-1.py'
stream = dict(
    protocol='10-1x5',
    base=dict(train_cfg=dict(max_epochs=1901)),
    increment=dict(train_cfg=dict(max_epochs=200), train_dataloader=dict(batch_size=30)))
