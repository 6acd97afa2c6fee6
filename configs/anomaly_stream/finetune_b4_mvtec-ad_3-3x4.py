# Three products, then three more four times. Plain fine-tuning of IUF's model.
_base_ = './finetune_b4_mvtec-ad_14-1.py'
stream = dict(
    protocol='3-3x4',
    base=dict(train_cfg=dict(max_epochs=500), train_dataloader=dict(batch_size=20)),
    increment=dict(train_cfg=dict(max_epochs=200)),
    steps={1: dict(train_cfg=dict(max_epochs=501))})
