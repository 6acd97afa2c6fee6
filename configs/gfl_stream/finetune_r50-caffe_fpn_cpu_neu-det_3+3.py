# The NEU-DET stream with the largest detector that a CPU trains over night.
_base_ = ['../gfl/gfl_r50-caffe_fpn_cpu_neu-det.py', '../_base_/streams/detection.py']

stream = dict(protocol='3+3')
