_base_ = '../anomaly_stream/finetune_b4_visa_8-1x4.py'
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
