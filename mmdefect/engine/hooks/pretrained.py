"""Pretrained weights that do not fit are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdefect.engine.hooks.freeze import is_about_to_train
from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped
from mmdefect.utils.pretrained import (
    check_pairing,
    load_strictly,
    pretrained_modules,
)


class PairingHook(Hook):
    """Before training, compare what weights were made for with the model's images.

    A converter writes the normalisation, and the style of a ResNet, into its file.
    Every run of our tools has this hook, see :mod:`mmdefect.engine.guards`.

    Raises:
        FileNotFoundError: When training starts, if a named file is not there.
        ValueError: Then, if channels are in another order, or normalised otherwise
            beyond what one's own statistics change.
    """

    def before_run(self, runner: Runner) -> None:
        """Look at what MMEngine is about to load, and at nothing after that."""
        for module, cfg in _to_load(runner):
            check_pairing(unwrapped(runner), module, cfg)


@HOOKS.register_module()
class StrictPretrainedHook(PairingHook):
    """Before training, check every file that an ``init_cfg`` names as ``Pretrained``.

    MMEngine's own loading passes over names that do not fit, and a backbone that is
    frozen afterwards would stay random without a word. An initialiser of our own cannot
    do it: mmpretrain's transformers draw their weights anew after any initialiser whose
    type is not ``Pretrained``.

    Raises:
        FileNotFoundError: When training starts, if there is no such file.
        ValueError: Then, if a weight is missing in it or has another shape, or as of
            :class:`PairingHook`.
    """

    def before_run(self, runner: Runner) -> None:
        """Load strictly what MMEngine is about to load, and nothing after that."""
        super().before_run(runner)
        for module, cfg in _to_load(runner):
            load_strictly(module, cfg)


def _to_load(runner: Runner) -> Iterator[tuple[nn.Module, Mapping[str, Any]]]:
    if not is_about_to_train(runner):
        return
    for module, cfg in pretrained_modules(unwrapped(runner)):
        if not getattr(module, 'is_init', False):
            yield module, cfg
