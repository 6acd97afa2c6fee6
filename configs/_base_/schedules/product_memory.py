# As a coreset's, but its products have banks of their own and no rows.
_base_ = './coreset.py'
stream = dict(class_keys=None)
