# VisA: 12 products, 8,659 + 2,162 images, converted (data/README.md).
_base_ = './anomaly.py'
dataset_type = 'mmdefect.VisADataset'
data_root = 'data/VisA/mvtec/'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = train_dataloader
