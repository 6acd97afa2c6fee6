# SD-IDD with (a) replaced: the old classes' scores follow the teacher's everywhere, as
# soft targets of the quality focal loss, not their logits where it is confident. Ours.
_base_ = './sd_idd.py'
method = dict(
    model=dict(distill=dict(classification=False, soft_quality=dict(weight=2.0))))
