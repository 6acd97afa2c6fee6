_base_ = '../anomaly_stream/finetune_resnet50-caffe_cpu_products_3-1x2.py'
model = dict(conditioner=None, compression=None, transformer=dict(neighbours=7))
