# Not of the study: a network that trains on a CPU, at the size it was pretrained with.
_base_ = [
    '../_base_/models/casting/mobilenet_v2.py', '../_base_/datasets/casting_224.py',
    '../_base_/schedules/casting.py'
]
