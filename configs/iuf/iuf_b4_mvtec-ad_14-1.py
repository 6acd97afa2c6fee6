_base_ = ['../anomaly_stream/finetune_b4_mvtec-ad_14-1.py', '../_base_/methods/iuf.py']
