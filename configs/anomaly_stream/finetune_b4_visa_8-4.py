# Eight products, then four at once. Plain fine-tuning of IUF's model.
_base_ = './finetune_b4_visa_11-1.py'
stream = dict(
    protocol='8-4',
    base=dict(train_cfg=dict(max_epochs=2000)),
    increment=dict(train_cfg=dict(max_epochs=1000)))
