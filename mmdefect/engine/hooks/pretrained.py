"""Pretrained weights that do not fit are refused."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks.freeze import is_about_to_train
from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped
from mmdefect.utils.pretrained import load_strictly, pretrained_modules


@HOOKS.register_module()
class StrictPretrainedHook(Hook):
    """Before training, check every file that an ``init_cfg`` names as ``Pretrained``.

    MMEngine's own loading passes over names that do not fit, and a backbone that is
    frozen afterwards would stay random without a word. An initialiser of our own cannot
    do it: mmpretrain's transformers draw their weights anew after any initialiser whose
    type is not ``Pretrained``.

    Raises:
        FileNotFoundError: When training starts, if there is no such file.
        ValueError: Then, if a weight is missing in it or has another shape.
    """

    def before_run(self, runner: Runner) -> None:
        """Load strictly what MMEngine is about to load, and nothing after that."""
        if not is_about_to_train(runner):
            return
        for module, cfg in pretrained_modules(unwrapped(runner)):
            if not getattr(module, 'is_init', False):
                load_strictly(module, cfg)
