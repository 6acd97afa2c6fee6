"""Checks of a step's data before anything trains: what fails late costs hours."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import METRICS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdefect.engine.hooks.safe_checkpoint import no_batch
from mmdefect.engine.hooks.same_bits import bits_of, check_bits
from mmdefect.streams.settings import HOLDING
from mmdefect.utils.config import as_list, innermost

# Options of a loader that only workers can follow.
_NEED_WORKERS = ('persistent_workers', 'prefetch_factor')


def check_options(cfg: Config, step: int) -> None:
    """Refuse options of the loaders that torch would refuse when it is too late.

    Raises:
        ValueError: Naming the loader, the option and what to do.
    """
    for key in ('train_dataloader', 'test_dataloader'):
        loader = cfg.get(key) or {}
        for option in _NEED_WORKERS:
            if loader.get(option) and not loader.get('num_workers'):
                raise ValueError(
                    f'{key}.num_workers=0: expected a worker or more with '
                    f'{option}={loader[option]} in step {step}; raise it, or leave '
                    f'{option} out'
                )


def look_at_training(cfg: Config) -> tuple[DataLoader, int]:
    """Build the training set, which looks at its files.

    Args:
        cfg: Config of the step, in whose scope this is called.

    Returns:
        Its loader, and the iterations of the step.

    Raises:
        ValueError: It cannot be used, or an epoch has no batch.
    """
    loader = _build(cfg.train_dataloader)
    loop = cfg.train_cfg
    if 'max_epochs' not in loop:
        return loader, int(loop['max_iters'])
    if not len(loader):
        # The loader itself does not know them when its batch sampler is given.
        dataset: Any = loader.dataset
        batches: Any = loader.batch_sampler
        raise no_batch(len(dataset), batches.batch_size, drop_last=batches.drop_last)
    return loader, len(loader) * int(loop['max_epochs'])


def look_at_test(cfg: Config) -> None:
    """Build the test set, and have its metrics read what they compare with.

    Args:
        cfg: Config of the step, in whose scope this is called.

    Raises:
        ValueError: They cannot be used.
    """
    dataset: Any = _build(cfg.test_dataloader).dataset
    for evaluator in as_list(cfg.get('test_evaluator')):
        for entry in as_list(evaluator.get('metrics', evaluator)):
            metric = METRICS.build(entry)
            metric.dataset_meta = dataset.metainfo
            if hasattr(metric, 'open'):
                metric.open()


def look_at_bits(cfg: Config, training: DataLoader) -> None:
    """Refuse 16-bit images that the test set reads as other bits.

    Args:
        cfg: Config of the step, in whose scope this is called.
        training: Loader of its training set.

    Raises:
        ValueError: They differ.
    """
    learned = bits_of(training)
    if learned is not None:  # else the test set need not be built once more
        found = bits_of(_build(cfg.test_dataloader))
        check_bits(learned, found, where='the training set', name='test')


def _build(settings: Mapping[str, Any]) -> DataLoader:
    """Build a loader that keeps no images in memory."""
    settings = copy.deepcopy(settings)
    dataset = innermost(settings['dataset'])
    for name in HOLDING & dataset.keys():
        dataset.pop(name)
    # With a seed: without one, samplers of several processes ask each other for it.
    return Runner.build_dataloader(settings, seed=0)
