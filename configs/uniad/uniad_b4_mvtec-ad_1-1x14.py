_base_ = '../anomaly_stream/finetune_b4_mvtec-ad_1-1x14.py'
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
