"""Modules in general: the one inside wrappers, and evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.runner import Runner
from torch import nn

from mmdefect.functional.class_rows import ATSS_CLASS_KEYS, GFL_CLASS_KEYS


def unwrapped(runner: Runner) -> nn.Module:
    """The model itself, without DDP or test-time augmentation around it."""
    model: Any = runner.model
    while hasattr(model, 'module'):
        model = model.module
    return model


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every part returns to the mode that it had.

    ``model.train(True)`` afterwards would wake batch norms that are frozen.
    """
    whole = [(module, module.training) for module in modules]
    before = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, training in whole:  # what it holds that is no part of it
            module.train(training)
        for part, training in before:
            part.training = training


def class_keys_of(model: nn.Module) -> tuple[str, ...]:
    """Parameters whose rows are classes: what the model says, else those of its head.

    A model of one's own says it with an attribute ``class_keys``.
    """
    given = getattr(model, 'class_keys', None)
    if given is not None:
        return tuple(given)
    held = {name for name, _ in model.named_parameters()}
    return ATSS_CLASS_KEYS if held.issuperset(ATSS_CLASS_KEYS) else GFL_CLASS_KEYS
