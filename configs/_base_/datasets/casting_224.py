# As casting.py, at the size that ViT, Swin and DINO were pretrained with.
_base_ = './casting.py'

size = dict(type='Resize', scale=(224, 224))
train_pipeline = [_base_.train_pipeline[0], size, *_base_.train_pipeline[2:]]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
