# Filters that see the defect stay, as many as a budget of parameters allows, one
# threshold for all layers; then the network is trained again, with its parent's help.
prune = dict(
    # Active is the top tenth of a filter's own map: no scale, no threshold to tune.
    scorer=dict(type='mmdefect.SegIoU'),
    select='object',
    keep=dict(type='global', min_channels=4, round_to=4),
    # Shares of the parent's parameters.
    grid=dict(kind='parameters', values=[0.05, 0.1, 0.2, 0.4]),
    probe=dict(standardize=True),
    recovery=dict(
        bn_images=1024,
        finetune=True,
        distill=dict(weight=1.0, temperature=4.0)),
    # The smallest that is as good as the best within a standard error.
    decide=dict(rule='one_standard_error', cost='parameters'))
