# FTL's score and its shares on MobileNetV2. What is different follows from the network:
# residual connections, so all layers are scored at once; batch norms, without which one
# this deep says nothing; layers of 16 filters, of which the release would keep none.
_base_ = [
    '../_base_/models/casting/mobilenet_v2.py', '../_base_/datasets/cracks_crackforest.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/ftl_legacy.py'
]
prune = dict(
    greedy=False, raw=False, reset_norms=False, keep=dict(type='uniform'))
