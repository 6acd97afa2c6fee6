"""What an iteration of the recommended way to add classes costs, beside plain GFL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmdefect.apis import load_config
from mmdefect.streams.stream import resolve_step_config
from mmdefect.utils.timing import Progress, interleaved

KEEP = 'keep/keep-10_mobilenet-v2_fpn_cpu_neu-det_3+3.py'
PLAIN = 'gfl_stream/finetune_mobilenet-v2_fpn_cpu_neu-det_3+3.py'
SIZE = 200  # of the presets
# Beside a batch of eight new images.
NEW, KEPT = 8, 2
Batch = dict[str, list]


def keep_iteration(
    configs: Path,
    *,
    pairs: int,
    batch_of: Callable[..., Batch],
    progress: Progress | None,
) -> dict[str, float]:
    """An iteration of ``keep-10`` over one of GFL on the new images alone.

    Of ten images, the teacher has seen nine. In the preset, 24 epochs with flips in two
    directions, it meets three of 24 for the first time.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Of iterations.
        batch_of: Makes a batch of random images, ``batch_of(count, size=, seed=)``.
        progress: Told about each pair.
    """
    plain = _step(_config(configs, PLAIN, step=0), batch_of(NEW, size=SIZE))
    batch = batch_of(NEW + KEPT, size=SIZE)
    for sample in batch['data_samples'][NEW:]:
        sample.set_metainfo({'replayed': True})
    cfg = _config(configs, KEEP, step=1)
    with TemporaryDirectory() as folder:
        teacher = Path(folder, 'teacher.pth')
        torch.save(_built(_config(configs, KEEP, step=0)).state_dict(), teacher)
        cfg.model.teacher = {'checkpoint': str(teacher)}
        train = _step(cfg, batch)
    turn = iter(range(1, 1_000_000))

    def keep() -> None:
        number = next(turn)
        fresh = batch_of(1, size=SIZE, seed=number)['inputs']
        batch['inputs'][number % (NEW + KEPT)] = fresh[0]
        train()

    times = interleaved(keep, plain, pairs=pairs, warmup=3, progress=progress)
    return times.metrics('keep_iter/gfl_iter')


def _config(configs: Path, name: str, *, step: int) -> Config:
    cfg = resolve_step_config(load_config(configs / name), step)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    return cfg


def _built(cfg: Config) -> Any:
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def _step(cfg: Config, batch: Batch) -> Callable[[], Any]:
    model = _built(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return lambda: model.train_step(batch, wrapper)
