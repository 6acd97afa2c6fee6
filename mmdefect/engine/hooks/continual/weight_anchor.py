"""Pull the weights towards those of the step before."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from mmdefect.engine.hooks.continual.previous import (
    PreviousStepHook,
    learned,
    old_rows,
    old_weights,
)
from mmdefect.registry import HOOKS
from mmdefect.utils.checks import check_range
from mmdefect.utils.modules import class_keys_of, unwrapped


@HOOKS.register_module()
class WeightAnchorHook(PreviousStepHook):
    """Before every iteration: ``theta <- (1 - beta) theta + beta theta_old``.

    IUF (ECCV 2024), as released: a convex combination, with ``theta_old`` the weights
    at the end of the step before. It covers what learns and the running statistics of
    batch norm; rows of new classes have no past and are left alone. With a learning
    rate of ``lr`` and gradients clipped to ``c`` the distance from ``theta_old`` stays
    below ``lr * c / beta``.

    Args:
        beta: Share of the old weights, in [0, 1).
        fade: Let the share fall linearly to 0 at the end of the step, so that the last
            iterations learn the new product freely; not in the paper.
        kwargs: See :class:`~mmdefect.engine.hooks.continual.previous.PreviousStepHook`.

    Raises:
        ValueError: ``beta`` is outside its range.
    """

    def __init__(
        self, *, beta: float = 0.05, fade: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_range('beta', beta, 0, 1, open_high=True)
        self.beta = beta
        self.fade = fade
        self._pairs: tuple[list[Tensor], list[Tensor]] = ([], [])

    def before_train(self, runner: Runner) -> None:
        """Read the old weights."""
        loaded = self.load_previous()
        model = unwrapped(runner)
        now = learned(model)
        old = old_weights(runner, loaded)
        rows = old_rows(runner, loaded)
        if not torch.equal(rows, torch.arange(len(rows))):
            raise ValueError(
                'the classes of the step before are not the first ones of this step: '
                'expected a protocol that appends classes'
            )
        fixed = class_keys_of(model)
        # Views, so that whole tensors and leading rows are treated alike.
        kept = {n: slice(len(rows)) if n in fixed else slice(None) for n in now}
        self._pairs = (
            [tensor.detach()[kept[name]] for name, tensor in now.items()],
            [old[name][kept[name]].to(now[name].device) for name in now],
        )

    @torch.no_grad()
    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Move towards the old weights."""
        left = 1 - runner.iter / runner.max_iters if self.fade else 1
        torch._foreach_lerp_(*self._pairs, self.beta * left)
