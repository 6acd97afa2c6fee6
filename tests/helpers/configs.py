"""The configs of the repository, and what their tests share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmdefect.apis import load_config
from mmdefect.pruning.channels.plan import FORMAT
from mmdefect.streams.stream import Stream, build_stream, resolve_step_config

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(p for p in (ROOT / 'configs').iterdir() if p.name != '_base_')
DETECTION = (
    'atss', 'erd', 'gfl', 'gfl_increment', 'gfl_stream', 'keep', 'quality', 'sd_idd',
)  # fmt: skip
ANOMALY = ('anomaly_stream', 'coreset', 'iuf', 'memory', 'uniad')
CLASSIFICATION = ('casting',)
PRUNING = ('ftl',)
# Half of the first layer's filters of a small ResNet.
KEPT = {'out': list(range(8)), 'out_of': 16}
HALF_PLAN = {
    'format': FORMAT,
    'origin': {},
    'layers': {
        'backbone.layer1.0.conv1': KEPT,
        'backbone.layer1.0.bn1': KEPT,
        'backbone.layer1.0.conv2': {'in': KEPT['out'], 'in_of': 16},
    },
}


def configs_in(names: tuple[str, ...]) -> list[Path]:
    """Configs of some folders; none is read."""
    return sorted(p for f in FOLDERS if f.name in names for p in f.glob('*.py'))


def families(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Configs by what their names begin with: the method, or the network."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.stem.partition('_')[0], []).append(path)
    return found


@lru_cache
def loaded(path: Path) -> Config:
    return load_config(path)


@lru_cache
def stream_of(path: Path) -> Stream:
    return build_stream(loaded(path))


def steps_of(path: Path) -> list[int | None]:
    """Its steps; ``None`` alone for a config without a stream."""
    if 'stream' not in loaded(path):
        return [None]
    return list(range(len(stream_of(path))))


@lru_cache
def resolved(path: Path, step: int | None) -> Config:
    cfg = loaded(path)
    return cfg if step is None else resolve_step_config(cfg, step, stream_of(path))


def runs(paths: Iterable[Path]) -> Iterator[tuple[Path, int | None, Config]]:
    """Everything that some configs run: config, step, resolved config of the step."""
    for path in paths:
        for step in steps_of(path):
            yield path, step, resolved(path, step)


@contextmanager
def named(path: Path, step: int | None = None) -> Iterator[None]:
    """Name the config, of many in one test, whose check fails."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f'{path.stem}, step {step}: {error}') from error


def evaluators(cfg: Config) -> list[dict]:
    found = cfg.test_evaluator
    return list(found) if isinstance(found, (list, tuple)) else [found]


def metafile(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / 'metafile.yml').read_text(encoding='utf-8'))


@contextmanager
def scope(name: str | None) -> Iterator[None]:
    with DefaultScope.overwrite_default_scope(name):
        yield


def without(values: dict, keys: set[str]) -> dict:
    return {key: value for key, value in values.items() if key not in keys}


@lru_cache
def _frozen(backbone: str) -> nn.Module:
    with scope('mmdefect'):
        return MODELS.build(json.loads(backbone))


def model_text(model: dict, left_out: set[str]) -> str:
    """A model config as a key, without some entries wherever they stand."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            return {k: plain(v) for k, v in part.items() if k not in left_out}
        return [plain(v) for v in part] if isinstance(part, (list, tuple)) else part

    return json.dumps(plain(model), default=str, sort_keys=True)


_detectors: dict[str, nn.Module] = {}


def build_head(model: ConfigDict) -> nn.Module:
    """Build a detector without weights or memory, and return its head.

    Detectors of one network and method are built once, their heads for each number of
    classes.
    """
    head = dict(model.bbox_head, train_cfg=model.train_cfg, test_cfg=model.test_cfg)
    whole = model_text(
        model, {'num_classes', 'num_old_classes', 'step_sizes', 'teacher'}
    )
    with scope('mmdet'), torch.device('meta'):
        if whole not in _detectors:
            _detectors[whole] = MODELS.build(model)
        if (key := model_text(head, set())) not in _detectors:
            _detectors[key] = MODELS.build(head)
    return _detectors[key]


@lru_cache
def _anomaly_model(model: str, backbone: str) -> nn.Module:
    frozen = _frozen(backbone)
    with scope('mmdefect'), torch.device('meta'):
        return MODELS.build({**json.loads(model), 'backbone': frozen})


def build_anomaly_model(model: ConfigDict) -> nn.Module:
    """Build without weights, what is equal once.

    mmpretrain's backbones cannot be built on the meta device: they are real ones, with
    random weights, and shared.
    """
    parts = (without(model, {'backbone'}), model['backbone'])
    return _anomaly_model(*(json.dumps(part, sort_keys=True) for part in parts))
