# Ours, not a paper's: the old classes' scores follow the teacher's at every prior, as soft
# targets of the quality focal loss; boxes as in ERD. Nothing is held at the new boxes.
_base_ = './new_only.py'
method = dict(
    model=dict(
        distill=dict(
            type='mmdefect.QualityDistillation',
            classification=dict(weight=1.0),
            regression=dict(weight=0.25))))
