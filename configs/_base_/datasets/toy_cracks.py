# As cracks.py, drawn: pores and dirt lie beside the cracks, and count as background.
_base_ = './cracks.py'

data_root = 'data/toy/crack_patches/'

# Small enough that workers would take longer to start than to load.
train_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root))
val_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root))
test_dataloader = dict(num_workers=0, dataset=dict(data_root=data_root))

mask_dataloader = dict(
    dataset=dict(
        data_root='data/toy/cracks/train',
        metainfo=dict(mask_classes=('crack', 'pore', 'dirt')),
        target_classes=('crack', )))
