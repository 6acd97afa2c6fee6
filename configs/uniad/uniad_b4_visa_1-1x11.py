_base_ = '../anomaly_stream/finetune_b4_visa_1-1x11.py'
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
