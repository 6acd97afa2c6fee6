_base_ = ['../anomaly_stream/finetune_b4_mvtec-ad_10-5.py', '../_base_/methods/iuf.py']
