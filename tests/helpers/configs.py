"""The configs of the repository, and what their tests share."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
from mmdefect.streams.stream import Stream, build_stream, resolve_step_config

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(p for p in (ROOT / 'configs').iterdir() if p.name != '_base_')
DETECTION = ('erd', 'gfl', 'gfl_increment', 'gfl_stream', 'quality', 'sd_idd')
ANOMALY = ('anomaly_stream', 'coreset', 'iuf', 'uniad')
CLASSIFICATION = ('casting',)
PRUNING = ('ftl',)


def configs_in(names: tuple[str, ...]) -> list[Path]:
    """Configs of some folders."""
    return sorted(p for f in FOLDERS if f.name in names for p in f.glob('*.py'))


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


def evaluators(cfg: Config) -> list[dict]:
    found = cfg.test_evaluator
    return list(found) if isinstance(found, (list, tuple)) else [found]


def metafile(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / 'metafile.yml').read_text(encoding='utf-8'))


@contextmanager
def scope(name: str | None) -> Iterator[None]:
    with DefaultScope.overwrite_default_scope(name):
        yield


def run_id(value: Any) -> str:
    return value.stem if isinstance(value, Path) else f'step_{value}'


def without(values: dict, keys: set[str]) -> dict:
    return {key: value for key, value in values.items() if key not in keys}


@lru_cache
def _frozen(backbone: str) -> nn.Module:
    with scope('mmdefect'):
        return MODELS.build(json.loads(backbone))


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
