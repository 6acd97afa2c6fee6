_base_ = [
    '../_base_/models/casting/convnext_tiny.py', '../_base_/datasets/casting_legacy.py',
    '../_base_/schedules/casting_legacy.py'
]
