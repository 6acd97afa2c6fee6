"""Weight decay that leaves the class rows of old classes alone."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn
from torch.optim import Optimizer

from mmdefect.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmdefect.utils.modules import class_keys_of


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SpareOldRows(DefaultOptimWrapperConstructor):
    """Build the optimizer as usual, without weight decay on old class rows.

    New images give an old class row little gradient or none, and weight decay shrinks
    it all the same, step after step. Switch on in a stream with
    ``optim_wrapper=dict(constructor='mmdefect.SpareOldRows')``.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of ``model``.

        Raises:
            ValueError: The model does not say how many of its classes are old.
        """
        wrapper = super().__call__(model)
        detector: Any = getattr(model, 'module', model)
        old = getattr(getattr(detector, 'bbox_head', None), 'num_old_classes', None)
        if old is None:
            raise ValueError(
                f'num_old_classes=None of {type(detector).__name__}: expected a head '
                'that says which classes are old, such as IncrementalGFLHead'
            )
        for key in class_keys_of(detector):
            spare_rows(wrapper.optimizer, detector.get_parameter(key), old)
        return wrapper


def spare_rows(optimizer: Optimizer, parameter: nn.Parameter, rows: int) -> None:
    """Exclude the first ``rows`` of a parameter ``(classes, ...)`` from weight decay.

    The parameter gets a group of its own without decay, and the other rows are decayed
    before every step exactly as the optimizer would have: through the gradient (SGD,
    Adam) or directly (AdamW).
    """
    for group in optimizer.param_groups:
        kept = [p for p in group['params'] if p is not parameter]
        if len(kept) < len(group['params']):
            break
    else:  # frozen: nothing decays it
        return
    decay = group['weight_decay']
    options = {name: value for name, value in group.items() if name != 'params'}
    if kept:
        group['params'] = kept
        optimizer.add_param_group({**options, 'params': [parameter]})
        group = optimizer.param_groups[-1]
    group['weight_decay'] = 0.0

    @torch.no_grad()
    def decay_new_rows(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if parameter.grad is None:
            return
        new = parameter[rows:]
        if group.get('decoupled_weight_decay'):
            new.mul_(1 - group['lr'] * decay)
        else:
            parameter.grad[rows:].add_(new, alpha=decay)

    optimizer.register_step_pre_hook(decay_new_rows)
