# Anomaly models need neither mmdet nor its scope.
_base_ = './runtime.py'
default_scope = 'mmdefect'

default_hooks = dict(
    checkpoint=dict(interval=50),
    # What a later step may need of this one, whatever its method: all methods can start
    # from one base model.
    feature_statistics=dict(type='mmdefect.FeatureStatisticsHook'),
    weight_importance=dict(type='mmdefect.WeightImportanceHook'),
    compression_memory=dict(type='mmdefect.CompressionMemoryHook'),
    visualization=dict(type='mmdefect.AnomalyMapHook'))
