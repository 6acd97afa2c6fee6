# MobileNetV2 with ImageNet weights, pruned and trained again on patches of cracks.
_base_ = [
    '../_base_/models/casting/mobilenet_v2.py', '../_base_/datasets/cracks_crackforest.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/default.py'
]
# Patches of one photograph stay in one fold of the probe's cross-validation.
prune = dict(probe=dict(source=r'(.+)_\d+_\d+_\d+_\d+'))
