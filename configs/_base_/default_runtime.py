# Detection uses mmdet's scope; our types are written `mmdefect.X`. `custom_imports` lets
# stock mmdet tools load these configs, with or without compiled mmcv ops.
_base_ = './runtime.py'
default_scope = 'mmdet'

default_hooks = dict(
    logger=dict(interval=10),
    # Without save_last: the last epoch is always one of the saved.
    checkpoint=dict(
        _delete_=True, type='mmdefect.SafeCheckpointHook', interval=1, max_keep_ckpts=1),
    visualization=dict(type='DetVisualizationHook'))
custom_hooks = [
    dict(type='mmdefect.EpochSeedHook'),
    dict(type='mmdefect.SamplePredictionsHook', max_samples=6),
]
visualizer = dict(type='DetLocalVisualizer')
log_processor = dict(window_size=50)
