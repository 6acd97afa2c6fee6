# Learning without Forgetting (Li & Hoiem, TPAMI 2018): old-class logits at all priors.
_base_ = './new_only.py'
method = dict(model=dict(distill=dict(type='mmdefect.LogitDistillation')))
