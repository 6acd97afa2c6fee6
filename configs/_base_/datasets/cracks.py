# Patches of pavement with and without a crack, 112 px, cut of CRACK500 (data/README.md).
_base_ = './classification.py'
dataset_type = 'CustomDataset'
data_root = 'data/crack_patches/crack500/'
# In label order: 0 is the defective class. The lists of the converter say so too, as
# folders alone are numbered by the alphabet.
classes = ['crack', 'background']

# Seen from above, a mirrored crack is another crack.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='PackInputs'),
]

patches = dict(
    type=dataset_type, data_root=data_root, classes=classes, pipeline=test_pipeline)
train_dataloader = dict(
    dataset=dict(
        patches, ann_file='train.txt', data_prefix='train', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(patches, ann_file='val.txt', data_prefix='val'))
test_dataloader = dict(dataset=dict(patches, ann_file='test.txt', data_prefix='test'))
del patches

# Whole images with outlined cracks, which filters are scored on; any size, so one by one.
mask_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        type='mmdefect.PairedMaskDataset',
        data_root='data/cracks/crack500/train',
        data_prefix=dict(img='images', mask='masks'),
        metainfo=dict(classes=classes, mask_classes=('crack', )),
        target_classes=('crack', ),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdefect.LoadIndexMask'),
            dict(type='PackInputs', algorithm_keys=('gt_seg_map', )),
        ]),
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False))
