# MVTec-AD: 15 products, 3,629 + 1,725 images (data/README.md).
_base_ = './anomaly.py'
dataset_type = 'mmdefect.MVTecADDataset'
data_root = 'data/MVTec-AD/'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
test_dataloader = train_dataloader
