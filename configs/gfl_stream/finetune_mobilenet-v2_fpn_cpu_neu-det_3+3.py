# The NEU-DET stream with the CPU-sized detector; one size, so the teacher needs no
# pipeline of its own.
_base_ = '../gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py'

runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.DetectionStream',
    protocol='3+3',
    base=dict(),
    increment=dict(),
    steps={},
    start_from=None)
