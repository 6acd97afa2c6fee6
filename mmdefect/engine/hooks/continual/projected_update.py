"""Updates that spare the directions which earlier steps used."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdefect.engine.hooks.continual.feature_statistics import (
    KEY,
    FeatureStatisticsHook,
)
from mmdefect.engine.hooks.continual.previous import PreviousStepHook
from mmdefect.functional.subspace import suppression_matrix
from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped


@HOOKS.register_module()
class ProjectedUpdateHook(PreviousStepHook):
    """Projects the gradients of the layers whose outputs were collected.

    IUF (ECCV 2024): after clipping and before the optimizer's step the gradients of
    weight and bias become ``P @ gradient``, with ``P`` of
    :func:`~mmdefect.functional.subspace.suppression_matrix` over the images of all
    finished steps. Valid for fewer images than channels.

    Args:
        kwargs: See :class:`~mmdefect.engine.hooks.continual.previous.PreviousStepHook`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._handle: Any = None

    def before_train(self, runner: Runner) -> None:
        """Compute the projections once and put them before the optimizer's step."""
        found = self.collected(
            self.load_previous(), KEY, FeatureStatisticsHook.__name__
        )
        model = unwrapped(runner)
        pairs = []
        for name, total in found['grams'].items():
            layer = model.get_submodule(name)
            matrix = suppression_matrix(total)
            pairs += [(p, matrix.to(p)) for p in layer.parameters(recurse=False)]

        def project(*_: Any) -> None:
            project_gradients(pairs)

        self._handle = runner.optim_wrapper.optimizer.register_step_pre_hook(project)

    def after_train(self, runner: Runner) -> None:
        """Leave the optimizer as it was."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


@torch.no_grad()
def project_gradients(pairs: list[tuple[nn.Parameter, Tensor]]) -> None:
    """Multiply gradients from the left, in place; parameters without one are left."""
    for parameter, matrix in pairs:
        if parameter.grad is not None:
            parameter.grad.copy_(matrix @ parameter.grad)
