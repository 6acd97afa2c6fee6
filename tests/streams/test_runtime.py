from __future__ import annotations

from mmengine.config import Config

from mmdefect.streams.runtime import (
    count_each_image_once,
    drop_validation,
    make_reproducible,
    name_apart,
    save_safely,
    set_hook,
)


def test_feature_seed_is_never_none():
    for randomness in ({}, {'randomness': {'seed': None}}):
        cfg = Config(randomness)
        make_reproducible(cfg)
        assert cfg.randomness.seed == 0
    cfg = Config(
        {'randomness': {'seed': 7}, 'train_dataloader': {'persistent_workers': True}}
    )
    make_reproducible(cfg, step=3)
    assert cfg.randomness.seed == 7
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.train_dataloader.worker_init_fn.type == 'mmdefect.seed_worker'
    assert cfg.custom_hooks == [{'type': 'mmdefect.EpochSeedHook', 'step': 3}]


def test_feature_hooks_are_replaced_not_doubled():
    cfg = Config({'custom_hooks': [{'type': 'A', 'x': 1}, {'type': 'B'}]})
    set_hook(cfg, {'type': 'A', 'x': 2})
    assert cfg.custom_hooks == [{'type': 'B'}, {'type': 'A', 'x': 2}]


def test_feature_no_padded_test_images():
    cfg = Config(
        {
            'test_dataloader': {'sampler': {'type': 'DefaultSampler'}},
            'val_dataloader': {'sampler': {'type': 'Other'}},
        }
    )
    count_each_image_once(cfg)
    assert cfg.test_dataloader.sampler.round_up is False
    assert 'round_up' not in cfg.val_dataloader.sampler


def test_feature_names_and_checkpoints():
    cfg = Config(
        {
            'visualizer': {'name': 'visualizer'},
            'val_cfg': {},
            'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 5}},
        }
    )
    name_apart(cfg, 'run_step_1')
    save_safely(cfg, stream={'step': 1})
    drop_validation(cfg)
    assert cfg.visualizer.name == cfg.experiment_name == 'run_step_1'
    assert cfg.default_hooks.checkpoint == {
        'type': 'mmdefect.SafeCheckpointHook',
        'interval': 5,
        'stream': {'step': 1},
    }
    assert cfg.val_cfg is None
