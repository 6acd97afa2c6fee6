_base_ = './luna_legacy_casting.py'
# The study's recipe without its double softmax: logits into the loss, as usual.
model = dict(head=dict(double_softmax=False))
