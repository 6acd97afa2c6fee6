"""Modules in general: inside wrappers, in evaluation mode for a while, told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine.runner import Runner
from torch import Tensor, nn

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


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over all names and values of a module, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def make_room(model: Any, state: Mapping[str, Tensor]) -> None:
    """Let a model whose buffers have no size of their own take over that of weights.

    Such a model has a method ``make_room`` and does so whenever it loads weights; here
    it is asked for ahead of a comparison of shapes.
    """
    if hasattr(model, 'make_room'):
        model.make_room(state)
