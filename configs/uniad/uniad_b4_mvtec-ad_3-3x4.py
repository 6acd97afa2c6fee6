_base_ = '../anomaly_stream/finetune_b4_mvtec-ad_3-3x4.py'
# UniAD has neither conditioner nor compression, and masks a token's neighbours.
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
