"""Look at the room on disk and in shared memory before hours are spent."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmdefect.utils.files import need_space
from mmdefect.utils.modules import unwrapped

SHARED = Path('/dev/shm')  # noqa: S108  its room is asked, nothing is written
PLENTY = 2 << 30
"""Bytes of shared memory with which nobody asks how large a batch is."""


class RoomHook(Hook):
    """Refuses to begin where a checkpoint, or the batches of the workers, do not fit.

    Workers hand batches over in shared memory, in a container often 64 MB. A worker
    that finds no room there dies unheard, and the training waits for it for ever.

    tools/train.py and tools/test.py add this hook.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Look for room for one checkpoint, and for the batches of all workers.

        Raises:
            OSError: The disk is too full.
            ValueError: The shared memory is too small.
        """
        if any(isinstance(hook, CheckpointHook) for hook in runner.hooks):
            size = checkpoint_bytes(runner)
            need_space(Path(runner.work_dir), size, 'a checkpoint of this model')
        self._look('train_dataloader', runner.train_dataloader)

    def before_val(self, runner: Runner) -> None:
        """Look at the workers' room."""
        self._look('val_dataloader', runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Look at the workers' room."""
        self._look('test_dataloader', runner.test_dataloader)

    def _look(self, name: str, loader: DataLoader) -> None:
        if name not in self._seen:
            self._seen.add(name)
            check_shared_memory(loader, name)


def checkpoint_bytes(runner: Runner) -> int:
    """Size of what a checkpoint holds for sure: weights, and what the optimizer keeps.

    Adam's kind keeps two numbers a trained weight, SGD with momentum one.
    """
    model = unwrapped(runner)
    state = sum(_bytes(value) for value in model.state_dict().values())
    trained = sum(_bytes(p) for p in model.parameters() if p.requires_grad)
    defaults = getattr(runner.optim_wrapper, 'defaults', {})
    kept = 2 if 'betas' in defaults else int(bool(defaults.get('momentum')))
    return state + kept * trained


def check_shared_memory(loader: DataLoader, name: str) -> None:
    """Refuse workers whose batches do not fit into shared memory.

    Args:
        loader: Its first sample is read if the room may be too small.
        name: Of the setting, for the message.

    Raises:
        ValueError: Saying how much there is, and what to do.
    """
    workers = loader.num_workers
    if not workers or not SHARED.is_dir():
        return
    free = shutil.disk_usage(SHARED).free // get_world_size()
    if free >= PLENTY or not len(loader.dataset):  # type: ignore[arg-type]
        return
    ahead = loader.prefetch_factor or 2
    images = getattr(loader.batch_sampler, 'batch_size', loader.batch_size) or 1
    batch = images * sample_bytes(loader.dataset[0])
    # One that the training holds, and what each worker has made ahead.
    needed = batch * (1 + ahead * workers)
    if needed > free:
        fits = max(0, math.floor((free / batch - 1) / ahead)) if batch else 0
        raise ValueError(
            f'{name}.num_workers={workers}: expected at most {fits} here, as {SHARED} '
            f'has {free / 1e6:.1f} MB free and their batches take {needed / 1e6:.1f}; '
            'set fewer, or start the container with --shm-size=2g'
        )


def sample_bytes(sample: Any) -> int:
    """Bytes of all tensors in what a dataset returns, however they are packed."""
    if isinstance(sample, Tensor):
        return _bytes(sample)
    if hasattr(sample, 'all_values'):  # MMEngine's data elements
        sample = sample.all_values()
    elif hasattr(sample, 'tensor'):  # boxes
        sample = [sample.tensor]
    elif isinstance(sample, Mapping):
        sample = sample.values()
    elif isinstance(sample, str | bytes) or not isinstance(sample, Iterable):
        return 0
    return sum(sample_bytes(part) for part in sample)


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if torch.is_tensor(value) else 0
