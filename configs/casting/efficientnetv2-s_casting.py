_base_ = [
    '../_base_/models/casting/efficientnetv2_s.py', '../_base_/datasets/casting.py',
    '../_base_/schedules/casting.py'
]
