# SD-IDD (Sensors 2026, 26(5):1413): selective distillation for classes (a), boxes (b)
# and features (c); the new classes weigh twice as much as in training from scratch.
_base_ = './new_only.py'
method = dict(
    model=dict(
        bbox_head=dict(loss_cls=dict(loss_weight=2.0)),
        distill=dict(
            type='mmdefect.SelectiveDistillation',
            classification=dict(weight=1.0, num_std=2.0),
            regression=dict(weight=0.25, temperature=10.0, br_weight='prior_iou'),
            features=dict(weight=2.0, ratio=0.5))))
