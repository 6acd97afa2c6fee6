# Memory aware synapses (Aljundi et al., ECCV 2018).
method = dict(
    default_hooks=dict(
        penalty=dict(type='mmdefect.ImportancePenaltyHook', method='mas', weight=1.0)))
