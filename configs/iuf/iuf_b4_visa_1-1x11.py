_base_ = ['../anomaly_stream/finetune_b4_visa_1-1x11.py', '../_base_/methods/iuf.py']
