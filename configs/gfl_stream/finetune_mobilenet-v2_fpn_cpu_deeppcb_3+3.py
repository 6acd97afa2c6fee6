# The DeepPCB stream with the CPU-sized detector.
_base_ = ['../gfl/gfl_mobilenet-v2_fpn_cpu_deeppcb.py', '../_base_/streams/detection.py']

stream = dict(protocol='3+3')
