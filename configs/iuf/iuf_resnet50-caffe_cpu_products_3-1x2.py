_base_ = ['../anomaly_stream/finetune_resnet50-caffe_cpu_products_3-1x2.py', '../_base_/methods/iuf_small.py']
