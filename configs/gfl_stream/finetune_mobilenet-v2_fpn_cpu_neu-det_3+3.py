# The NEU-DET stream with the CPU-sized detector; one size, so the teacher needs no
# pipeline of its own.
_base_ = ['../gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py', '../_base_/streams/detection.py']

stream = dict(protocol='3+3')
