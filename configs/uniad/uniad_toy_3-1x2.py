_base_ = '../anomaly_stream/finetune_toy_3-1x2.py'
# UniAD has neither conditioner nor compression, and masks a token's neighbours.
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=3))
