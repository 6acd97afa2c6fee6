# Cross-head distillation (the idea of FaCHD, CVPR 2026): old logits as LwF, and what the
# frozen old head makes of the student's features. One more head is run in training.
_base_ = './new_only.py'
method = dict(model=dict(distill=dict(type='mmdefect.CrossHeadDistillation')))
