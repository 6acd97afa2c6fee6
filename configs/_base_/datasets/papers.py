# Twelve papers of PIPED, about 36 good patches of 128 x 128 each (data/README.md).
_base_ = './products.py'
data_root = 'data/papers/'
metainfo = dict(
    classes=(
        'PA_BDP01_TL', 'PA_BFT01_TL', 'PA_BRG01_RL', 'PA_BRG02_RL', 'PA_BRG03_TL',
        'PA_BTN01_RL', 'PA_FLR01_TL', 'PA_FLR02_TL', 'PA_FVN01_TL', 'PA_FVN02_RL',
        'PA_GLA01_TL', 'PA_ZPB01_RL'))
train_dataloader = dict(
    num_workers=0,
    drop_last=False,
    dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = dict(
    num_workers=0, dataset=dict(data_root=data_root, metainfo=metainfo))
