# NEU-DET: 1,800 steel images of 200x200, six kinds (data/README.md).
_base_ = './boxes.py'
dataset_type = 'mmdefect.NEUDETDataset'
data_root = 'data/NEU-DET/'

train_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root))
val_dataloader = train_dataloader
test_dataloader = train_dataloader
val_evaluator = dict(ann_file=data_root + 'coco/test.json')
test_evaluator = val_evaluator
