# The DeepPCB stream with the CPU-sized detector.
_base_ = '../gfl/gfl_mobilenet-v2_fpn_cpu_deeppcb.py'

runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.DetectionStream',
    protocol='3+3',
    base=dict(),
    increment=dict(),
    steps={},
    start_from=None)
