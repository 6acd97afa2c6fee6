# Synaptic intelligence (Zenke et al., ICML 2017).
method = dict(
    default_hooks=dict(
        penalty=dict(type='mmdefect.ImportancePenaltyHook', method='si', weight=1.0)))
