"""Detectors of presets with random weights, and batches of random images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmdefect.apis import load_config
from mmdefect.streams.stream import resolve_step_config

Batch = dict[str, list]
BOXES_PER_IMAGE = 2
OLD_CLASSES, NEW_CLASSES = 3, 3


def step_config(path: Path, step: int) -> Config:
    """Return a step of a preset, without pretrained weights."""
    cfg = resolve_step_config(load_config(path), step)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    return cfg


def initialised(cfg: Any) -> Any:
    """Build a model; its weights are initialised as its config says."""
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def taught(cfg: Any, *, by: Any) -> Any:
    """Build a student; its teacher is read from a checkpoint as in a run."""
    with TemporaryDirectory() as folder:
        path = Path(folder, 'teacher.pth')
        path.write_bytes(checkpoint_bytes(by))
        cfg.teacher = dict(checkpoint=str(path))
        return initialised(cfg)


def iteration(model: Any, optim_wrapper: Any, batch: Batch) -> Callable[[], Any]:
    """Return what trains a detector by one iteration on a batch."""
    wrapper = build_optim_wrapper(model, optim_wrapper)
    return lambda: model.train_step(batch, wrapper)


def checkpoint_bytes(model: Any) -> bytes:
    """Return a checkpoint of a detector: its weights, and meta that is always equal."""
    file = io.BytesIO()
    meta = {'epoch': 1, 'iter': 1, 'seed': 0}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, file)
    return file.getvalue()


def random_batch(images: int, *, size: int, seed: int = 0) -> Batch:
    """Return a batch as mmdet's pipelines make it, labelled with new classes."""
    from mmdet.structures import DetDataSample

    random = torch.Generator().manual_seed(seed)
    shape = (3, size, size)
    inputs, samples = [], []
    for _ in range(images):
        pixels = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
        meta = {'img_shape': shape[1:], 'ori_shape': shape[1:], 'scale_factor': (1, 1)}
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = _random_instances(size, random)
        inputs.append(pixels)
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


def _random_instances(size: int, random: torch.Generator) -> InstanceData:
    count = BOXES_PER_IMAGE
    corner = torch.rand(count, 2, generator=random) * size / 2
    extent = (torch.rand(count, 2, generator=random) + 0.25) * size / 3
    labels = torch.randint(NEW_CLASSES, (count,), generator=random) + OLD_CLASSES
    return InstanceData(bboxes=torch.cat((corner, corner + extent), 1), labels=labels)
