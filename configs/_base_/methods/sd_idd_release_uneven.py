# Its loss_kd compares as many new classes as old ones: left out where these differ.
_base_ = './sd_idd_release.py'
method = dict(model=dict(distill=dict(released_classes=False)))
