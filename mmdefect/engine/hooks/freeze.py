"""Freeze the first layers of any classifier by one rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch.nn.parallel import DistributedDataParallel

from mmdefect.engine.freezing import (
    FreezePlan,
    count_trainable,
    freeze_parameters,
    hold_still,
    plan_freezing,
    trainable_fraction,
)
from mmdefect.engine.model_wrapper import ReplicatedModel
from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped


def is_about_to_train(runner: Runner) -> bool:
    """Whether ``before_run`` comes from ``train``: only that builds an optimizer."""
    return isinstance(runner.optim_wrapper, OptimWrapper | OptimWrapperDict)


@HOOKS.register_module()
class FreezeStrategyHook(Hook):
    """Freezes the first layers of a classifier, by one rule for every backbone.

    A unit is a module with parameters of its own; in the order in which they run, the
    first ``ceil((1 - share) * N)`` of the ``N`` units of backbone and neck are frozen.
    The head always trains. See :mod:`mmdefect.engine.freezing`.

    It acts in ``before_run``. MMEngine's Runner has wrapped the model (in its
    constructor) and built the optimizer by then, and neither matters: a parameter
    without a gradient is passed over by torch's optimizers, so it has no state and
    weight decay does not move it, and a checkpoint holds the same parameter groups
    whatever is frozen, so that a run resumes. ``DistributedDataParallel`` would wait
    for gradients that never come; it is wrapped anew. Initialisation, loading, resuming
    and compiling come later in the Runner and find the model as it will train.

    The numbers are logged, and ``trainable_parameters`` is in the message hub.

    Args:
        mode: See :func:`~mmdefect.engine.freezing.trainable_fraction`, as for
            ``fraction`` and ``quadrant``.
        fraction: Share of the units that train, in [0, 1]; with its mode only.
        quadrant: ``Q1`` to ``Q4``, of the casting study's rule; with its mode only.
        freeze_bn_stats: Keep batch norm and dropout of the frozen part in evaluation
            mode. The published study left them in training mode, and its frozen
            networks drifted.
        input_shape: Shape of the image of zeros that shows in which order layers run.

    Raises:
        ValueError: An unknown mode, a fraction outside its range or of another mode;
            when training starts, a model without a backbone or in a wrapper that is not
            ``DistributedDataParallel``.
    """

    # Before hooks that copy the model, such as a moving average of it.
    priority = 'HIGH'

    def __init__(
        self,
        *,
        mode: str = 'none',
        fraction: float | None = None,
        quadrant: str | None = None,
        freeze_bn_stats: bool = True,
        input_shape: Sequence[int] = (3, 224, 224),
    ) -> None:
        self.share = trainable_fraction(mode, fraction=fraction, quadrant=quadrant)
        self.mode = mode
        self.freeze_bn_stats = freeze_bn_stats
        self.input_shape = tuple(input_shape)
        self.plan = FreezePlan((), 0, ())

    def before_run(self, runner: Runner) -> None:
        """Freeze, unless nothing will be trained."""
        if not is_about_to_train(runner):
            return
        model = unwrapped(runner)
        self.plan = plan_freezing(model, self.share, self.input_shape)
        before, _ = count_trainable(model)
        freeze_parameters(model, self.plan)
        # A test after the training comes by once more.
        if count_trainable(model)[0] < before:
            _wrap_again(runner)
        runner.logger.info(self._summary(runner))

    def before_train(self, runner: Runner) -> None:
        """Say how many parameters train, also where a resumed run said otherwise."""
        trains, _ = count_trainable(runner.model)
        runner.message_hub.update_info('trainable_parameters', trains)

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Repeat evaluation mode: the loop trains all after an epoch's last hook."""
        if self.freeze_bn_stats:
            hold_still(unwrapped(runner), self.plan)

    def _summary(self, runner: Runner) -> str:
        trains, total = count_trainable(runner.model)
        plan = self.plan
        last = f', the last is {plan.frozen[-1].name}' if plan.number else ''
        return (
            f'Freezing ({self.mode}): {trains:,} of {total:,} parameters train; '
            f'{plan.number} of {len(plan.units)} units are frozen{last}'
        )


def _wrap_again(runner: Runner) -> None:
    """Let DDP see which parameters train; it looks only when it is made."""
    wrapper = runner.model
    if not is_model_wrapper(wrapper) or isinstance(wrapper, ReplicatedModel):
        return
    if not isinstance(wrapper, DistributedDataParallel):
        raise ValueError(
            f'model_wrapper_cfg.type={type(wrapper).__name__}: expected '
            'DistributedDataParallel, which can be told what was frozen'
        )
    wrapped = runner.cfg.get('model_wrapper_cfg')
    runner.model = runner.wrap_model(wrapped, wrapper.module)
