_base_ = [
    '../_base_/models/casting/alexnet.py', '../_base_/datasets/casting.py',
    '../_base_/schedules/casting.py'
]
