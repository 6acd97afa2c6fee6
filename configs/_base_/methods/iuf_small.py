# The anchor bounds the way of all weights together by lr * clip / beta. This network has
# a tenth of the paper's weights, so the same bound would let each go much farther.
_base_ = './iuf.py'
method = dict(optim_wrapper=dict(optimizer=dict(lr=0.1)))
