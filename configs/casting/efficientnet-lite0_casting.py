# Not of the study: another network that trains on a CPU.
_base_ = [
    '../_base_/models/casting/efficientnet_lite0.py',
    '../_base_/datasets/casting_224.py', '../_base_/schedules/casting.py'
]
# TensorFlow's: not ImageNet's mean and deviation.
data_preprocessor = dict(mean=[127.0] * 3, std=[128.0] * 3)
