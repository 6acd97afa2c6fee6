from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.apis import load_config
from mmdefect.streams.state import config_hash
from mmdefect.streams.stream import build_stream, resolve_step_config

REPO = Path(__file__).parents[2]
TOY = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'


def test_feature_ordinary_config() -> None:
    """What every step gets, whatever its task: no stream, seeds, safe checkpoints."""
    cfg = load_config(TOY)
    step = resolve_step_config(cfg, 1)
    for key in ('stream', 'runner_type', 'cfg_options'):
        assert key not in step
    assert step.randomness.seed == 0
    assert step.train_dataloader.worker_init_fn.type == 'mmdefect.seed_worker'
    seeds = [h for h in step.custom_hooks if h.type == 'mmdefect.EpochSeedHook']
    assert seeds == [{'type': 'mmdefect.EpochSeedHook', 'step': 1}]
    assert step.test_dataloader.sampler.round_up is False
    assert (step.val_dataloader, step.val_cfg, step.val_evaluator) == (None,) * 3
    checkpoint = step.default_hooks.checkpoint
    assert checkpoint.type == 'mmdefect.SafeCheckpointHook'
    assert checkpoint.stream.step == 1
    assert len(checkpoint.stream.classes) == 6
    assert len(checkpoint.stream.old_classes) == 3
    assert 'stream' in cfg


def test_feature_no_paths_of_a_run() -> None:
    """So that equal steps of different runs have equal hashes."""
    one = resolve_step_config(load_config(TOY, work_dir='here'), 0)
    other = resolve_step_config(load_config(TOY, work_dir='there'), 0)
    assert config_hash(one) == config_hash(other)
    assert config_hash(one) != config_hash(resolve_step_config(load_config(TOY), 1))


def test_feature_base_and_increment() -> None:
    base, increment = (resolve_step_config(load_config(TOY), step) for step in (0, 1))
    assert (base.train_cfg.max_epochs, increment.train_cfg.max_epochs) == (25, 15)
    # A list is edited by position; the other scheduler stays.
    ends = [[s.end for s in cfg.param_scheduler] for cfg in (base, increment)]
    assert ends == [[30, 25], [30, 15]]
    assert base.model.backbone.norm_eval is False
    assert increment.model.backbone.norm_eval is True


def test_feature_command_line_comes_last() -> None:
    options = {'train_cfg.max_epochs': 1, 'stream.protocol': '5+1'}
    cfg = load_config(TOY, cfg_options=options)
    for step, classes in ((0, 5), (1, 6)):
        resolved = resolve_step_config(cfg, step)
        assert resolved.train_cfg.max_epochs == 1
        assert resolved.model.bbox_head.num_classes == classes


def test_feature_single_steps(tmp_path: Path) -> None:
    """`steps` by number, in a file that inherits from a stream."""
    path = tmp_path / 'mine.py'
    path.write_text(
        f'_base_ = {str(TOY)!r}\n'
        "stream = dict(protocol='2+2+2', "
        'steps={2: dict(train_cfg=dict(max_epochs=3))})\n',
        encoding='utf-8',
    )
    cfg = load_config(path)
    epochs = [resolve_step_config(cfg, k).train_cfg.max_epochs for k in range(3)]
    assert epochs == [25, 15, 3]
    options = {'stream.steps.1.train_cfg.max_epochs': 2}
    cfg = load_config(TOY, cfg_options=options)
    epochs = [resolve_step_config(cfg, k).train_cfg.max_epochs for k in range(2)]
    assert epochs == [25, 2]


def test_feature_survives_a_dump(tmp_path: Path) -> None:
    """The dumped step config is the resolved one, and loads anywhere."""
    resolved = resolve_step_config(load_config(TOY), 1)
    resolved.dump(tmp_path / 'step.py')
    assert config_hash(Config.fromfile(tmp_path / 'step.py')) == config_hash(resolved)


@pytest.mark.parametrize('cfg', [{}, {'stream': None}, {'stream': {}}])
def test_exception_no_stream(cfg: dict) -> None:
    with pytest.raises(ValueError, match=r'has no stream: expected stream=dict\(type='):
        build_stream(Config(cfg))
