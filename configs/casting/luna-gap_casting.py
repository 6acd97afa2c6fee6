# LUNA for any image size: 130 parameters after a global average instead of 41,474.
_base_ = './luna_casting.py'
model = dict(
    neck=dict(_delete_=True, type='GlobalAveragePooling'), head=dict(in_channels=64))
