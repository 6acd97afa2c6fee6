# Elastic weight consolidation (Kirkpatrick et al., PNAS 2017).
method = dict(
    default_hooks=dict(
        penalty=dict(type='mmdefect.ImportancePenaltyHook', method='ewc', weight=1000.0)))
