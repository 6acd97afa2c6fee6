_base_ = ['../anomaly_stream/finetune_b4_visa_8-4.py', '../_base_/methods/iuf.py']
