_base_ = [
    '../_base_/models/casting/vit_b16.py', '../_base_/datasets/casting_legacy_224.py',
    '../_base_/schedules/casting_legacy.py'
]
