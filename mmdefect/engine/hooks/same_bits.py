"""Sixteen-bit images are scaled in testing as in training."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdefect.registry import HOOKS


@HOOKS.register_module()
class SameBitsHook(Hook):
    """Refuses data sets that found another number of bits than was trained with.

    A data set of boxes finds out itself how many of 16 bits its images use, and notes
    it in ``metainfo['bits']``, which checkpoints hold. Images of 8 bits have none.

    Raises:
        ValueError: Before the training goes on, or before validation or test, if the
            training, or the checkpoint, had another number.
    """

    def __init__(self) -> None:
        self.learned: int | None = None
        self._where = ''

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note what the weights were trained with."""
        meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
        self._note(meta.get('bits'), 'the checkpoint')

    def before_train(self, runner: Runner) -> None:
        """Compare a training that is resumed, and note what this one has."""
        self._compare(runner.train_dataloader, 'training')
        self._note(_bits(runner.train_dataloader), 'the training set')

    def before_val(self, runner: Runner) -> None:
        """Compare the validation set."""
        self._compare(runner.val_dataloader, 'validation')

    def before_test(self, runner: Runner) -> None:
        """Compare the test set."""
        self._compare(runner.test_dataloader, 'test')

    def _note(self, bits: int | None, where: str) -> None:
        if bits is not None:
            self.learned, self._where = bits, where

    def _compare(self, loader: DataLoader, name: str) -> None:
        found = _bits(loader)
        if None not in (self.learned, found) and self.learned != found:
            raise ValueError(
                f'16-bit images are read as {self.learned} bits in {self._where} and '
                f'as {found} bits in the {name} set; expected the same: give bits=... '
                'to the data sets of training, validation and test'
            )


def _bits(loader: DataLoader) -> int | None:
    return getattr(loader.dataset, 'metainfo', {}).get('bits')
