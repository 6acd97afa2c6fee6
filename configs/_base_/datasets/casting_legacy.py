# The casting study's data: the vendor's split, whose test images have relatives in
# train, and its augmentation in its order.
_base_ = './casting.py'

protocol = 'legacy'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='torchvision/RandomHorizontalFlip', p=0.5),
    dict(type='torchvision/RandomVerticalFlip', p=0.3),
    dict(
        type='torchvision/RandomAffine',
        degrees=2.5,
        translate=(0.05, 0.05),
        scale=(0.95, 1.05)),
    # Hue does nothing to a grey image, and takes most of the time.
    dict(type='torchvision/ColorJitter', brightness=0.2, contrast=0.2, hue=0.2),
    dict(type='PILToNumpy', to_bgr=True),
    dict(type='Resize', scale=(300, 300)),
    dict(type='PackInputs'),
]

# Of its training images: 0.5643 and 0.2386 of 255.
data_preprocessor = dict(mean=[143.9] * 3, std=[60.84] * 3)

train_dataloader = dict(
    batch_size=16, dataset=dict(protocol=protocol, pipeline=train_pipeline)
)
val_dataloader = dict(batch_size=16, dataset=dict(protocol=protocol))
test_dataloader = dict(batch_size=16, dataset=dict(protocol=protocol))
