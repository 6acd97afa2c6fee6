_base_ = ['../anomaly_stream/finetune_toy_3-1x2.py', '../_base_/methods/iuf_small.py']
