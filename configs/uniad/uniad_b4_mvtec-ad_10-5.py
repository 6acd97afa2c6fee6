_base_ = '../anomaly_stream/finetune_b4_mvtec-ad_10-5.py'
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
