_base_ = ['../anomaly_stream/finetune_mobilenet-v2_cpu_products_3-1x2.py', '../_base_/methods/iuf_small.py']
