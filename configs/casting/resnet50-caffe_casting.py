# Not of the study: a large network from weights that a package registry has.
_base_ = [
    '../_base_/models/casting/resnet50_caffe.py', '../_base_/datasets/casting_224.py',
    '../_base_/schedules/casting.py'
]
