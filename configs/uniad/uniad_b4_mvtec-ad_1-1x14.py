_base_ = '../anomaly_stream/finetune_b4_mvtec-ad_1-1x14.py'
# UniAD has neither conditioner nor compression, and masks a token's neighbours.
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
