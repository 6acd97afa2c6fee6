# Eight products, then one more four times. Plain fine-tuning of IUF's model.
_base_ = './finetune_b4_visa_11-1.py'
stream = dict(
    protocol='8-1x4',
    base=dict(train_cfg=dict(max_epochs=2000)),
    # The release stops pcb2 before it starts; it gets the epochs of pcb3.
    increment=dict(train_cfg=dict(max_epochs=600)),
    steps={
        3: dict(train_cfg=dict(max_epochs=300)),
        4: dict(train_cfg=dict(max_epochs=201))
    })
