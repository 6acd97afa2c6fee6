# As cracks.py, tested on another pavement too: nothing is learned or chosen there.
_base_ = './cracks.py'
test_roots = dict(crackforest='data/crack_patches/crackforest/')
