_base_ = '../anomaly_stream/finetune_b4_mvtec-ad_3-3x4.py'
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
