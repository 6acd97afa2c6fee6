_base_ = '../anomaly_stream/finetune_b4_visa_1-1x11.py'
# UniAD has neither conditioner nor compression, and masks a token's neighbours.
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
