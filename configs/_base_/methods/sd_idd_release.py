# What SD-IDD's code computes, for comparison: six terms, summed over the batch. Its
# batch is two images; its loss_kd needs as many new classes as old ones.
_base_ = './sd_idd.py'
method = dict(
    model=dict(
        distill=dict(
            regression=dict(br_weight='student_score'),
            features=dict(released=True),
            ring=dict(),
            elastic=dict(released=True),
            released_classes=dict(),
            per_images=None)))
