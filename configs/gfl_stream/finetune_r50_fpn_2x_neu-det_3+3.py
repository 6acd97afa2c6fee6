# Plain fine-tuning in steps: what a user of stock mmdet gets. Step 1 trains all six
# channels on images of the new kinds; old defects in view count as background.
_base_ = ['../gfl/gfl_r50_fpn_2x_neu-det.py', '../_base_/streams/detection.py']

stream = dict(
    protocol='3+3',
    # The released teacher is trained at random sizes, the increment at one size.
    base=dict(
        train_dataloader=dict(
            dataset=dict(
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations', with_bbox=True),
                    dict(
                        type='RandomResize', scale=[(1333, 480), (1333, 800)],
                        keep_ratio=True),
                    dict(type='RandomFlip', prob=0.5),
                    dict(type='PackDetInputs'),
                ]))),
    # Released so: 1e-3 is for 16 images, two images on one GPU train at 1.25e-4.
    increment=dict(auto_scale_lr=dict(enable=True)))
