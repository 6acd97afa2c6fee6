# FTL's score and its arithmetic on MobileNetV2. What is different follows from residual
# connections: all layers are scored at once, and batch norms are kept, without which a
# network this deep says nothing.
_base_ = [
    '../_base_/models/casting/mobilenet_v2.py', '../_base_/datasets/cracks.py',
    '../_base_/schedules/cracks.py', '../_base_/prune/ftl_legacy.py'
]
prune = dict(greedy=False, raw=False, reset_norms=False)
# The same classes on another pavement: nothing is learnt or chosen there.
test_roots = dict(crackforest='data/crack_patches/crackforest/')
