# One product after the other. Not in the paper: epochs are ours. Plain fine-tuning of IUF's model.
_base_ = './finetune_b4_visa_11-1.py'
stream = dict(
    protocol='1-1x11',
    base=dict(train_cfg=dict(max_epochs=1000)),
    increment=dict(train_cfg=dict(max_epochs=200)))
