# A stream of defect kinds; base and increment are trained alike.
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.DetectionStream',
    base=dict(),
    increment=dict(),
    steps={},
    start_from=None)
