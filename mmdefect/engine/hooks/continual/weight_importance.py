"""Importance of each weight to what was learned: EWC, MAS and SI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdefect.engine.hooks.continual.previous import (
    PreviousStepHook,
    aligned,
    old_rows,
    old_weights,
    own_batches,
    refuse_iterations,
    trainable,
)
from mmdefect.registry import HOOKS
from mmdefect.utils.checks import check_choice
from mmdefect.utils.modules import class_keys_of, evaluating, unwrapped

KEY = 'weight_importance'
# Only in checkpoints within a step, for a run that is killed and resumed.
PATH_KEY = 'weight_path'
METHODS = ('ewc', 'mas', 'si')
# Keeps a weight that has not moved from an infinite importance (SI, section 3).
DAMPING = 1e-3

Tensors = dict[str, Tensor]


@HOOKS.register_module()
class WeightImportanceHook(PreviousStepHook):
    """Collects importances in every step, for the penalty of a later one.

    - ``ewc``: squared gradients of the loss (Kirkpatrick et al., PNAS 2017), of batches
      and times their size, summed over steps.
    - ``mas``: absolute gradients of the squared length of the model's output
      (Aljundi et al., ECCV 2018), summed over steps.
    - ``si``: the loss that each weight's path has saved, over the square of the way it
      went (Zenke et al., ICML 2017). The gradient is the one that moved the weights,
      after clipping.

    They go into the checkpoint as ``weight_importance``, bfloat16, by parameter name.

    Args:
        methods: Which to collect.
        batch_size: Images a gradient.
        kwargs: See :class:`~mmdefect.engine.hooks.continual.previous.PreviousStepHook`.
    """

    # Of the model that is saved: behind SyncBuffersHook, before the last checkpoint.
    priority = 'BELOW_NORMAL'

    def __init__(
        self, *, methods: Sequence[str] = METHODS, batch_size: int = 8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for method in methods:
            check_choice('methods', method, METHODS)
        self.methods = tuple(methods)
        self.batch_size = batch_size
        self._found: dict[str, Tensors] = {}
        self._path: WeightPath | None = None
        self._resumed: dict[str, Tensors] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep how far the weights had come, should this be a resumed run."""
        self._resumed = checkpoint.get(PATH_KEY)

    def before_train(self, runner: Runner) -> None:
        """Take over earlier importances and begin to follow the weights."""
        refuse_iterations(runner, self)
        self._found = {}
        if self.checkpoint is not None:
            loaded = self.load_previous()
            rows = old_rows(runner, loaded)
            model = unwrapped(runner)
            zeros = zeros_like(trainable(model))
            before = self.collected(loaded, KEY, type(self).__name__)
            self._found = {
                method: aligned(before[method], zeros, rows, class_keys_of(model))
                for method in self.methods
                if method in before
            }
        if 'si' in self.methods:
            self._path = WeightPath(trainable(unwrapped(runner)))
            if runner.iter and self._resumed:
                self._path.restore(self._resumed)
            self._path.follow(runner.optim_wrapper.optimizer)

    def after_train_epoch(self, runner: Runner) -> None:
        """Add this step's importances in the last epoch."""
        if not self.is_last_train_epoch(runner):
            return
        for method in self.methods:
            if method == 'si' and self._path is not None:
                new = self._path.importance()
                self._path.leave()
                self._path = None
            else:
                new = gradient_importance(runner, method, self.batch_size)
            before = self._found.get(method, {})
            self._found[method] = {n: v + before.get(n, 0) for n, v in new.items()}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put them beside the weights."""
        if self._found:
            checkpoint[KEY] = {
                method: {n: v.bfloat16().cpu() for n, v in values.items()}
                for method, values in self._found.items()
            }
        if self._path is not None:
            checkpoint[PATH_KEY] = self._path.state()


@HOOKS.register_module()
class ImportancePenaltyHook(PreviousStepHook):
    """Adds ``weight * sum(importance * (theta - theta_old)^2)`` to the loss.

    Args:
        method: ``'ewc'``, ``'mas'`` or ``'si'``.
        weight: EWC's ``lambda / 2``, MAS's ``lambda``, SI's ``c``.
        kwargs: See :class:`~mmdefect.engine.hooks.continual.previous.PreviousStepHook`.
    """

    def __init__(self, *, method: str, weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice('method', method, METHODS)
        self.method = method
        self.weight = weight

    def before_train(self, runner: Runner) -> None:
        """Give the model its penalty."""
        loaded = self.load_previous()
        model: Any = unwrapped(runner)
        found = self.collected(loaded, KEY, WeightImportanceHook.__name__)
        if self.method not in found:
            raise ValueError(
                f'{self.checkpoint} holds the importances {sorted(found)}: expected '
                f'{self.method!r}; name it in the methods of WeightImportanceHook'
            )
        parameters = trainable(model)
        rows = old_rows(runner, loaded)
        importance = aligned(
            found[self.method], zeros_like(parameters), rows, class_keys_of(model)
        )
        old = old_weights(runner, loaded)
        model.penalties[self.method] = partial(
            penalty, self.weight, parameters, importance, old
        )

    def after_train(self, runner: Runner) -> None:
        """Take it away again."""
        model: Any = unwrapped(runner)
        model.penalties.pop(self.method, None)


def penalty(
    weight: float, parameters: Mapping[str, Tensor], importance: Tensors, old: Tensors
) -> Tensor:
    """Weighted squared distance of parameters from old ones, a scalar with gradient."""
    total = sum(
        (importance[name] * (parameter - old[name]).square()).sum()
        for name, parameter in parameters.items()
    )
    return weight * torch.as_tensor(total)


class WeightPath:
    """Loss that each weight's way through training has saved (SI)."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self.start = {n: p.detach().clone() for n, p in parameters.items()}
        self.saved = zeros_like(parameters)
        self._before: list[tuple[str, Tensor, Tensor]] = []
        self._handles: list[Any] = []

    def state(self) -> dict[str, Tensors]:
        """Tensors that a resumed run needs."""
        parts = {'start': self.start, 'saved': self.saved}
        return {k: {n: v.cpu() for n, v in part.items()} for k, part in parts.items()}

    def restore(self, state: dict[str, Tensors]) -> None:
        """Go on from a :meth:`state`."""
        for name in self.start:
            self.start[name].copy_(state['start'][name])
            self.saved[name].copy_(state['saved'][name])

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Watch every step of the optimizer."""
        self._handles = [
            optimizer.register_step_pre_hook(self._remember),
            optimizer.register_step_post_hook(self._add),
        ]

    def leave(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _remember(self, *_: Any) -> None:
        self._before = [
            (name, p.detach().clone(), p.grad.clone())
            for name, p in self.parameters.items()
            if p.grad is not None
        ]

    @torch.no_grad()
    def _add(self, *_: Any) -> None:
        for name, before, gradient in self._before:
            self.saved[name] -= gradient * (self.parameters[name] - before)

    @torch.no_grad()
    def importance(self) -> Tensors:
        """Saved loss over squared distance, not negative."""
        return {
            n: (self.saved[n] / ((p - self.start[n]).square() + DAMPING)).relu()
            for n, p in self.parameters.items()
        }


def zeros_like(parameters: dict[str, nn.Parameter]) -> Tensors:
    """A zero for every weight, by name."""
    return {name: torch.zeros_like(p) for name, p in parameters.items()}


def gradient_importance(runner: Runner, method: str, batch_size: int) -> Tensors:
    """Mean over the step's images of squared (EWC) or absolute (MAS) gradients."""
    model: Any = unwrapped(runner)
    parameters = trainable(model)
    sums = zeros_like(parameters)
    squared = method == 'ewc'
    images = torch.zeros((), dtype=torch.float64)
    with evaluating(model):
        for batch in own_batches(runner, batch_size):
            data = model.data_preprocessor(batch, True)
            number = len(data['data_samples'])
            value = _loss(model, data) if squared else _energy(model, data)
            gradients = torch.autograd.grad(
                value, list(parameters.values()), allow_unused=True
            )
            for name, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    # Of a mean over the batch: its square shrinks by the batch size.
                    size = number * gradient.square() if squared else gradient.abs()
                    sums[name] += number * size
            images += number
    all_reduce(images)
    for total in sums.values():
        all_reduce(total)
    return {name: total / float(images) for name, total in sums.items()}


def _loss(model: Any, data: dict[str, Any]) -> Tensor:
    losses = model(**data, mode='loss')
    penalties = {f'loss_{name}' for name in model.penalties}
    return sum(value for name, value in losses.items() if name not in penalties)


def _energy(model: Any, data: dict[str, Any]) -> Tensor:
    outputs = model.outputs(data['inputs'])
    return sum(output.flatten(1).square().sum(dim=1).mean() for output in outputs)
