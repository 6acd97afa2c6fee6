"""Directions that the features of a step use, collected at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdefect.engine.hooks.continual.previous import (
    PreviousStepHook,
    own_batches,
    own_images,
    refuse_iterations,
)
from mmdefect.functional.subspace import gram
from mmdefect.registry import HOOKS
from mmdefect.utils.modules import evaluating, unwrapped

KEY = 'feature_statistics'
LAYERS = ('reconstructor.*.ffn.second',)


@HOOKS.register_module()
class FeatureStatisticsHook(PreviousStepHook):
    """Sums Gram matrices of layer outputs over the images of all steps so far.

    IUF (ECCV 2024) stacks one row an image and layer, its output averaged over the
    tokens, and needs their right singular vectors. Those are the eigenvectors of the
    Gram matrix, which does not grow: 4.2 MB for its eight layers of 256 channels,
    whatever the stream. The images are run once, at the end of the last epoch, in
    evaluation mode without noise. The sums go into the checkpoint as
    ``feature_statistics``.

    Args:
        layers: Patterns of the names of layers with outputs ``(B, T, D)``.
        kwargs: See :class:`~mmdefect.engine.hooks.continual.previous.PreviousStepHook`.
    """

    # Of the model that is saved: behind SyncBuffersHook, before the last checkpoint.
    priority = 'BELOW_NORMAL'

    def __init__(self, *, layers: Sequence[str] = LAYERS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = tuple(layers)
        self._sums: dict[str, Tensor] = {}
        self._images = 0

    def before_train(self, runner: Runner) -> None:
        """Take over what the steps before have collected."""
        refuse_iterations(runner, self)
        self._sums, self._images = {}, 0
        if self.checkpoint is None:
            return
        found = self.collected(self.load_previous(), KEY, type(self).__name__)
        self._sums, self._images = dict(found['grams']), int(found['images'])

    def after_train_epoch(self, runner: Runner) -> None:
        """Collect in the last epoch."""
        if self.is_last_train_epoch(runner):
            self.collect(runner)

    @torch.no_grad()
    def collect(self, runner: Runner) -> None:
        """Add the Gram matrices of this step's training images.

        Raises:
            ValueError: No layer of the model fits the patterns.
        """
        model: Any = unwrapped(runner)
        layers = matching_layers(model, self.layers)
        grams: dict[str, Tensor] = {}
        with evaluating(model), recorded_means(layers) as means:
            for batch in own_batches(runner):
                data = model.data_preprocessor(batch, False)
                model(**data, mode='tensor')
                for name, rows in means.items():
                    grams[name] = grams.get(name, 0) + gram(rows)
        for name, total in grams.items():
            all_reduce(total)
            before = self._sums.get(name, torch.zeros((), dtype=total.dtype))
            self._sums[name] = before + total.cpu()
        self._images += len(own_images(runner.train_dataloader.dataset))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the sums beside the weights."""
        if self._sums:
            checkpoint[KEY] = {'grams': dict(self._sums), 'images': self._images}


def matching_layers(model: nn.Module, patterns: Sequence[str]) -> dict[str, nn.Module]:
    """Modules whose names fit one of the patterns.

    Raises:
        ValueError: There is none.
    """
    found = {
        name: module
        for name, module in model.named_modules()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    if not found:
        raise ValueError(
            f'layers={list(patterns)}: expected names of layers of '
            f'{type(model).__name__}, * for any part; none fits'
        )
    return found


@contextmanager
def recorded_means(layers: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Token means of the layers' last outputs, ``(B, D)`` by name, for a while."""
    means: dict[str, Tensor] = {}

    def record(name: str, module: nn.Module, args: Any, output: Tensor) -> None:
        means[name] = output.mean(dim=1)

    handles = [
        layer.register_forward_hook(partial(record, name))
        for name, layer in layers.items()
    ]
    try:
        yield means
    finally:
        for handle in handles:
            handle.remove()
