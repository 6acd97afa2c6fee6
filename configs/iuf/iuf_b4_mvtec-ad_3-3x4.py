_base_ = ['../anomaly_stream/finetune_b4_mvtec-ad_3-3x4.py', '../_base_/methods/iuf.py']
