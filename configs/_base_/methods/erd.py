# ERD (Feng et al., CVPR 2022): elastic selection for classes and boxes.
_base_ = './new_only.py'
method = dict(model=dict(distill=dict(type='mmdefect.ElasticDistillation')))
