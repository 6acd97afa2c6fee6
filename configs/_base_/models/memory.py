# A bank for every product. Backbone, channels, grid and normalisation are an encoder's:
# model = dict(**_base_.encoder) beside a base of encoders/.
model = dict(
    type='mmdefect.ProductMemory',
    num_classes=15,
    pool=3,
    per_class=1000,
    pca=0.99,
    whiten=0.07,
    search='bank',
    score='top_mean',
    top=0.01,
    sigma=4.0,
    route='image',
    hold_out=0.2,
    # At most 5 % of the good images are to give an alarm, for sure in 95 of 100 cases.
    alarm=dict(rate=0.05, confidence=0.95))
