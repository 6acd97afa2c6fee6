from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmdefect.engine.run_config import (
    apply_test_flags,
    count_each_image_once,
    draw_apart,
    drop_absent_hooks,
    drop_validation,
    make_reproducible,
    name_apart,
    save_safely,
    set_hook,
    write_apart,
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
    assert cfg.custom_hooks == [
        {'type': 'mmdefect.EpochSeedHook', 'step': 3},
        {'type': 'SyncBuffersHook'},
    ]


def test_feature_hooks_are_replaced_not_doubled():
    cfg = Config({'custom_hooks': [{'type': 'A', 'x': 1}, {'type': 'B'}]})
    set_hook(cfg, {'type': 'A', 'x': 2})
    assert cfg.custom_hooks == [{'type': 'B'}, {'type': 'A', 'x': 2}]


def test_feature_no_padded_test_images():
    tested = {'sampler': {'type': 'DefaultSampler'}}
    other = {'sampler': {'type': 'Other'}}
    cfg = Config({'test_dataloader': tested, 'val_dataloader': other})
    count_each_image_once(cfg)
    assert cfg.test_dataloader.sampler.round_up is False
    assert 'round_up' not in cfg.val_dataloader.sampler


def test_feature_names_and_checkpoints():
    hooks = {'checkpoint': {'type': 'CheckpointHook', 'interval': 5}}
    cfg = Config({'visualizer': {'name': 'visualizer'}, 'val_cfg': {}})
    cfg.default_hooks = hooks
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


def test_feature_files_of_several_steps_are_apart():
    hooks = {'visualization': {'test_out_dir': '/drawn'}}
    written = {'out_file_path': 'here/preds.pkl'}
    cfg = Config({'predictions': written, 'default_hooks': hooks})
    write_apart(cfg, 2)
    draw_apart(cfg, 2)
    assert cfg.predictions.out_file_path == 'here/preds_step_2.pkl'
    assert cfg.default_hooks.visualization.test_out_dir == '/drawn/step_2'
    nothing = Config({'default_hooks': {'visualization': {'draw': False}}})
    draw_apart(nothing, 2)
    assert nothing.default_hooks == {'visualization': {'draw': False}}


def test_feature_test_flags():
    flags = {'tta': {'type': 'TTA'}, 'predictions': {'type': 'Dump'}}
    cfg = Config({'model': {'type': 'GFL'}, 'test_evaluator': {'type': 'A'}, **flags})
    apply_test_flags(cfg)
    assert cfg.model == {'type': 'TTA', 'module': {'type': 'GFL'}}
    assert cfg.test_evaluator == [{'type': 'A'}, {'type': 'Dump'}]
    before = dict(cfg)
    apply_test_flags(cfg)  # once: both keys are gone
    assert dict(cfg) == before


def test_feature_absent_hooks():
    """MMEngine's Runner stops at a None, except for hooks of its own."""
    hooks = {'anchor': None, 'timer': None, 'mine': {'type': 'A'}}
    cfg = Config({'default_hooks': hooks})
    drop_absent_hooks(cfg)
    assert cfg.default_hooks == {'timer': None, 'mine': {'type': 'A'}}
    runner = Runner.__new__(Runner)
    runner._hooks = []
    with pytest.raises(AssertionError):
        runner.register_default_hooks(hooks)
    runner.register_default_hooks({'timer': None})
    assert all(type(hook).__name__ != 'IterTimerHook' for hook in runner.hooks)
    drop_absent_hooks(Config({}))
