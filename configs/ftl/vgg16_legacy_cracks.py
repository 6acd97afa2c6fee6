# VGG16 as published: the best filters for cracks and the best for background, united.
# The published one had Keras's weights, made for levels of 0 to 255 in the order blue,
# green, red. With those named here the maps are of another size and the counts of united
# filters differ; plans/vgg16_ftl-0.20-union.json has the published ones.
_base_ = [
    '../_base_/models/cracks/vgg16.py', '../_base_/datasets/cracks_crackforest.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/ftl_legacy.py'
]
prune = dict(select='union')
