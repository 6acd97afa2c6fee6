"""Scale sixteen-bit images in testing as in training."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdefect.registry import HOOKS


@HOOKS.register_module()
class SameBitsHook(Hook):
    """Refuses datasets that found another number of bits than was trained with.

    A dataset of boxes finds out itself how many of 16 bits its images use, and notes
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
        self._note(bits_of(runner.train_dataloader), 'the training set')
        if runner.val_loop is not None:  # not an epoch later
            self._compare(runner.val_dataloader, 'validation')

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
        check_bits(self.learned, bits_of(loader), where=self._where, name=name)


def check_bits(
    learned: int | None, found: int | None, *, where: str, name: str
) -> None:
    """Refuse a dataset ``name`` of other bits than were learned from ``where``.

    Raises:
        ValueError: If both have some, as images of 8 bits have none, and they differ.
    """
    if None not in (learned, found) and learned != found:
        raise ValueError(
            f'16-bit images are read as {learned} bits in {where} and as {found} bits '
            f'in the {name} set; expected the same: give bits=... to the datasets of '
            'training, validation and test'
        )


def bits_of(loader: DataLoader) -> int | None:
    """How many of 16 bits the images of a loader use; None if they have 8."""
    return getattr(loader.dataset, 'metainfo', {}).get('bits')
