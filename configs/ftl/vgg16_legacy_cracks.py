# VGG16 as published: the best filters for cracks and the best for background, united.
_base_ = [
    '../_base_/models/cracks/vgg16.py', '../_base_/datasets/cracks.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/ftl_legacy.py'
]
prune = dict(select='union')
# The same classes on another pavement: nothing is learnt or chosen there.
test_roots = dict(crackforest='data/crack_patches/crackforest/')
