_base_ = ['../anomaly_stream/finetune_b4_visa_11-1.py', '../_base_/methods/iuf.py']
