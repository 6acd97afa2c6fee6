"""Every model of the configs takes two iterations as several processes train it.

DDP waits for a gradient of every parameter that trains, and says in the second
iteration that one did not come. A group of one process is enough to see that. Slow: it
trains every network that we have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.engine.model_wrapper import DistributedModel, ReplicatedModel
from tests.conftest import HELPERS
from tests.helpers.configs import (
    CLASSIFICATION,
    FOLDERS,
    HALF_PLAN,
    model_text,
    resolved,
    steps_of,
)
from tests.helpers.distributed_models import train
from tests.helpers.ranks import run_ranks

# What a model of each kind is made of does not depend on these.
NUMBERS = {'num_classes', 'num_old_classes', 'init_cfg', 'teacher'}
# Where a quadrant cuts depends on the network; the head is the same class in all.
FREEZING = [{'mode': 'none'}, {'mode': 'quadrant', 'quadrant': 'Q2'}]
HEAD_ONLY = {'mode': 'head'}


@pytest.fixture(autouse=True)
def no_scope_left() -> Iterator[None]:
    yield
    DefaultScope._instance_dict.clear()


def one_of_each_kind() -> list[Path]:
    """The first protocol of each method and dataset."""
    found: dict[str, Path] = {}
    for path in sorted(path for folder in FOLDERS for path in folder.glob('*.py')):
        found.setdefault(re.sub(r'_\d[\dx+-]*$', '', path.stem), path)
    return list(found.values())


KINDS = one_of_each_kind()
seen: set[str] = set()


def is_new(cfg: Config) -> bool:
    """Whether no config with this model and these frozen parts was trained before."""
    frozen = cfg.default_hooks.get('freeze')
    key = model_text({'model': cfg.model, 'freeze': frozen}, NUMBERS)
    if key in seen:
        return False
    seen.add(key)
    return True


def variants(path: Path) -> Iterator[Config]:
    """What a config trains: steps of a stream, ways of freezing of a classifier."""
    for step in steps_of(path)[:2]:
        cfg = resolved(path, step).copy()
        if cfg.model.get('backbone', {}).get('type') == 'mmdefect.PrunedBackbone':
            cfg.model.backbone.plan = HALF_PLAN
        if path.parent.name not in CLASSIFICATION:
            yield cfg
            continue
        head = [HEAD_ONLY] * path.stem.startswith('luna')
        for mode in FREEZING + head:
            frozen = cfg.copy()
            hook = dict(type='mmdefect.FreezeStrategyHook', **mode)
            frozen.default_hooks['freeze'] = hook
            yield frozen


def random_weights(model: dict, folder: Path) -> str:
    """A checkpoint of a classifier that nobody has trained."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(model)
    path = folder / 'teacher.pth'
    torch.save({'state_dict': built.state_dict()}, path)
    return str(path)


def test_smoke_every_kind_is_tested() -> None:
    assert len(KINDS) >= 60
    assert {path.parent for path in KINDS} == set(FOLDERS)


@pytest.mark.slow
@pytest.mark.parametrize('path', KINDS, ids=lambda path: path.stem)
def test_feature_two_iterations(path: Path, ddp: None, tmp_path: Path) -> None:
    for number, cfg in enumerate(variants(path)):
        if not is_new(cfg):
            continue
        if cfg.model.type == 'mmdefect.DistilledClassifier':
            cfg.model.teacher_checkpoint = random_weights(cfg.model.teacher, tmp_path)
        runner = train(cfg, tmp_path / str(number))
        assert runner.iter == 2
        wrapper = type(runner.model)
        memory = cfg.model.type.endswith(('Coreset', 'ProductMemory'))
        assert wrapper is (ReplicatedModel if memory else DistributedModel)


@pytest.mark.slow
def test_feature_two_processes(warm: Path, tmp_path: Path) -> None:
    """One of each family: both train, and end with the same weights."""
    names = [
        'gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py',
        'sd_idd/sd-idd_mobilenet-v2_fpn_cpu_neu-det_3+3.py@1',
        'iuf/iuf_toy_3-1x2.py@1',
        'casting/luna-gap_casting.py',
        'ftl/resnet18-w16_toy_cracks.py',
    ]
    configs = [f'configs/{name}' for name in names]
    script = HELPERS / 'distributed_models.py'
    run_ranks(script, tmp_path, *configs, programs=warm)
    for name in names:
        one, two = (
            torch.load(tmp_path / f'{Path(name).stem}_{rank}.pth') for rank in (0, 1)
        )
        learned = [key for key in one if 'running_' not in key]
        assert len(learned) > 10
        for key in learned:
            assert torch.equal(one[key], two[key]), (name, key)
