_base_ = ['../anomaly_stream/finetune_toy_3-1x2.py', '../_base_/methods/iuf.py']
# The anchor bounds the way of all weights together by lr * clip / beta. This network has
# a tenth of the paper's weights, so the same bound would let each go much farther.
method = dict(optim_wrapper=dict(optimizer=dict(lr=0.1)))
