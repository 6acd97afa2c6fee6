# Finicky Transfer Learning as published: 99 shares of the filters, each layer scored
# behind the layers that are cut already, on images without normalisation, activations as
# uint8; batch norms forget what they learned; a logistic regression, and no training.
prune = dict(
    scorer=dict(type='mmdefect.SegIoU', active='legacy'),
    # 'object' for AlexNet; VGG16 took 'union', the best for cracks and for background.
    select='object',
    greedy=True,
    raw=True,
    reset_norms=True,
    keep=dict(type='uniform_legacy'),
    grid=dict(kind='fraction', values='legacy'),
    probe=dict(standardize=False),
    # In percent, as its tables were made; 'ftl_fraction' is what the formula is made for.
    decide=dict(rule='ftl_published'))
