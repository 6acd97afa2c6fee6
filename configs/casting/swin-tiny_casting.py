_base_ = [
    '../_base_/models/casting/swin_tiny.py', '../_base_/datasets/casting_224.py',
    '../_base_/schedules/casting_layer_decay.py'
]
