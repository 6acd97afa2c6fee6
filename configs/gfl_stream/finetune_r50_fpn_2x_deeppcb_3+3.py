# As on NEU-DET. 983 of the 1,000 training boards show old and new kinds together, so
# nearly every image of step 1 holds unlabelled old defects.
_base_ = '../gfl/gfl_r50_fpn_2x_deeppcb.py'

runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.DetectionStream',
    protocol='3+3',
    base=dict(),
    # Released so: 1e-3 is for 16 images, two images on one GPU train at 1.25e-4.
    increment=dict(auto_scale_lr=dict(enable=True)),
    steps={},
    start_from=None)
