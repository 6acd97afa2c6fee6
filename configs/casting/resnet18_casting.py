_base_ = [
    '../_base_/models/casting/resnet18.py', '../_base_/datasets/casting.py',
    '../_base_/schedules/casting.py'
]
