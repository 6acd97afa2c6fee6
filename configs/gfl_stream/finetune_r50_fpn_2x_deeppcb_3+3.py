# As on NEU-DET. 983 of the 1,000 training boards show old and new kinds together, so
# nearly every image of step 1 holds unlabelled old defects.
_base_ = ['../gfl/gfl_r50_fpn_2x_deeppcb.py', '../_base_/streams/detection.py']

stream = dict(
    protocol='3+3',
    # Released so: 1e-3 is for 16 images, two images on one GPU train at 1.25e-4.
    increment=dict(auto_scale_lr=dict(enable=True)))
