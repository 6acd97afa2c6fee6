# A small replay buffer: ten training images of every old product.
method = dict(
    train_dataloader=dict(dataset=dict(replay=10)))
