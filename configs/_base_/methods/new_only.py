# Increments train the channels of their new classes only: ERD's fine-tuning baseline.
method = dict(
    model=dict(
        type='mmdefect.IncrementalGFL',
        bbox_head=dict(type='mmdefect.IncrementalGFLHead')))
