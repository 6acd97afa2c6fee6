"""Sixteen-bit images are scaled in testing as in training."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdefect.registry import HOOKS

_LOADERS = ('_train_dataloader', '_val_dataloader', '_test_dataloader')


@HOOKS.register_module()
class SameBitsHook(Hook):
    """Refuses data sets that found another number of bits than was trained with.

    A data set of boxes finds out itself how many of 16 bits its images use, and notes
    it in ``metainfo['bits']``, which checkpoints hold. Images of 8 bits have none.

    Raises:
        ValueError: Before training, when training and validation differ; when a
            checkpoint is loaded, if it was trained with another number.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare training with validation."""
        metainfo = getattr(runner.train_dataloader.dataset, 'metainfo', {})
        _compare(runner, metainfo.get('bits'), 'the training set')

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare what was trained with the data sets that are there."""
        meta = checkpoint.get('meta') or {}
        bits = (meta.get('dataset_meta') or {}).get('bits')
        _compare(runner, bits, 'the checkpoint')


def _compare(runner: Runner, bits: int | None, what: str) -> None:
    for name in _LOADERS:
        loader = getattr(runner, name, None)
        if not isinstance(loader, DataLoader):
            continue
        found = getattr(loader.dataset, 'metainfo', {}).get('bits')
        if None not in (bits, found) and bits != found:
            raise ValueError(
                f'16-bit images are read as {bits} bits in {what} and as {found} bits '
                f'in the set of {name[1:].removesuffix("_dataloader")}; expected the '
                'same: give bits=... to the data sets of training, validation and test.'
            )
