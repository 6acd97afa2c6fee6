# Learning without Forgetting for a detector with an ATSS head; see lwf.py.
_base_ = './lwf.py'
method = dict(
    model=dict(
        type='mmdefect.IncrementalATSS',
        bbox_head=dict(type='mmdefect.IncrementalATSSHead')))
