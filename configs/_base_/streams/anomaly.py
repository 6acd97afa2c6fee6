# A stream of products: what its increments share. They compress nothing: that loss
# belongs to the base step.
runner_type = 'mmdefect.StreamRunner'
stream = dict(
    type='mmdefect.AnomalyStream',
    increment=dict(model=dict(compression=None)),
    steps={},
    start_from=None)
