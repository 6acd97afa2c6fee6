_base_ = [
    '../_base_/models/casting/vit_b16.py', '../_base_/datasets/casting_224.py',
    '../_base_/schedules/casting_layer_decay.py'
]
