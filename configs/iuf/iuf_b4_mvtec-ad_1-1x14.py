_base_ = ['../anomaly_stream/finetune_b4_mvtec-ad_1-1x14.py', '../_base_/methods/iuf.py']
