# The recommended way to add classes: LwF on every image of a batch, those of the step and
# those that stream.memory has kept; the kept ones teach old and new channels alike.
_base_ = './lwf.py'
