_base_ = ['../gfl_stream/finetune_r50-caffe_fpn_cpu_neu-det_3+3.py', '../_base_/methods/lwf.py']
