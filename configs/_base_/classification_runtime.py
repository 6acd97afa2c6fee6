# Classifiers use mmpretrain's scope; our types are written `mmdefect.X`.
_base_ = './runtime.py'
default_scope = 'mmpretrain'

default_hooks = dict(
    visualization=dict(type='VisualizationHook', enable=False),
    # Weights that do not fit are refused instead of passed over.
    pretrained=dict(type='mmdefect.StrictPretrainedHook'),
    # How much of the network learns: none (all of it does), head, fraction, quadrant.
    freeze=dict(type='mmdefect.FreezeStrategyHook', mode='none'))
visualizer = dict(type='UniversalVisualizer')
