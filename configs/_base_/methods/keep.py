# The recommended way to add classes: LwF on every image of a batch, those of the step and
# those that stream.memory has kept; the kept ones teach old and new channels alike.
_base_ = './lwf.py'
# Images come back unchanged or flipped: the teacher looks at each of these once, and what
# it says is kept. None lets it look at every batch.
method = dict(model=dict(teacher_cache_mb=256))
