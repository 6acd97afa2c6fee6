"""How much of a classifier learns: the first layers are frozen, the head never is.

Three steps without a Runner: :func:`plan_freezing` says what to freeze,
:func:`freeze_parameters` does it once, :func:`hold_still` keeps batch norm and dropout
of the frozen part quiet and has to be repeated after every ``model.train()``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import nn

from mmdefect.utils.checks import check_choice, check_range
from mmdefect.utils.modules import evaluating

MODES = ('none', 'head', 'fraction', 'quadrant')
# The rule of the casting study, by amount of data and similarity to the pretraining
# set: large and other, large and similar, small and other, small and similar.
QUADRANTS = {'Q1': 1.0, 'Q2': 0.33, 'Q3': 0.67, 'Q4': 0.0}
# Frozen from the first; everything else of a model always trains.
PARTS = ('backbone', 'neck')


class Unit(NamedTuple):
    """Name of a module and of its own parameters, without its children's."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class FreezePlan:
    """Units that are frozen and modules that are held still.

    Attributes:
        units: All units of backbone and neck, in the order in which they run.
        number: How many of them are frozen, from the first.
        still: Names of modules in evaluation mode while the others train.
    """

    units: tuple[Unit, ...]
    number: int
    still: tuple[str, ...]

    @property
    def frozen(self) -> tuple[Unit, ...]:
        """The frozen units."""
        return self.units[: self.number]


class Calls(NamedTuple):
    """First and last call of each module, as numbers of a count."""

    first: dict[str, int]
    last: dict[str, int]


def trainable_fraction(
    mode: str, *, fraction: float | None = None, quadrant: str | None = None
) -> float:
    """Share of the units that train.

    Args:
        mode: ``none`` (all train), ``head`` (none), ``fraction`` or ``quadrant``.
        fraction: With ``fraction`` and only then: a number in [0, 1].
        quadrant: With ``quadrant`` and only then: Q1 to Q4, for 1.0, 0.33, 0.67 and 0.

    Raises:
        ValueError: An unknown mode or quadrant, a fraction outside its range, or a
            value that does not belong to the mode.
    """
    check_choice('mode', mode, MODES)
    for name, value in (('fraction', fraction), ('quadrant', quadrant)):
        if (value is not None) != (mode == name):
            raise ValueError(
                f'{name}={value!r} with mode={mode!r}: expected {name} with '
                f'mode={name!r} and with no other'
            )
    if fraction is not None:
        check_range('fraction', fraction, 0, 1)
        return float(fraction)
    if quadrant is not None:
        check_choice('quadrant', quadrant, tuple(QUADRANTS))
        return QUADRANTS[quadrant]
    return 0.0 if mode == 'head' else 1.0


def number_frozen(units: int, fraction: float) -> int:
    """``ceil((1 - fraction) * units)``, with the fraction as it is written.

    In binary numbers ``(1 - 0.7) * 10`` is a little more than 3.
    """
    return math.ceil((1 - Fraction(str(fraction))) * units)


def plan_freezing(
    model: nn.Module, fraction: float, input_shape: Sequence[int] = (3, 224, 224)
) -> FreezePlan:
    """Decide what of backbone and neck is frozen.

    Units are ordered by their first call when an image of zeros is classified. What is
    registered late may run early (ConvNeXt's downsampling, a ViT's final norm the other
    way round). Only a share between none and all needs the order, so only then the
    model is run, in evaluation mode without gradients; it may lie on the meta device.

    Parameters that the backbone itself owns (class token, position embedding) belong to
    its first unit. A module that never runs itself (``out_proj`` of PyTorch's
    attention, whose weight another module uses) counts as run when its parent did.

    Args:
        model: Has a ``backbone`` and may have a ``neck``.
        fraction: Share of the units that train, in [0, 1].
        input_shape: Shape of the image of zeros.

    Raises:
        ValueError: The model has no backbone.
    """
    if not isinstance(getattr(model, 'backbone', None), nn.Module):
        raise ValueError(
            f'{type(model).__name__} has no backbone to freeze: expected a classifier '
            "such as mmpretrain's ImageClassifier"
        )
    units = _own_parameters(model)
    # The backbone itself is no layer, unless it has no other.
    root = units.pop('backbone', ())
    if root and not any(name.startswith('backbone.') for name in units):
        units = {'backbone': root, **units}
        root = ()
    number = number_frozen(len(units), fraction)
    names = list(_modules(model))
    order, still = list(units), names if number else []
    if 0 < number < len(units):
        calls = record_calls(model, input_shape)
        order.sort(key=lambda name: _lookup(calls.first, name))
        still = _still_modules(names, order[number:], calls)
    made = [Unit(name, units[name]) for name in order]
    if root:
        made[0] = Unit(made[0].name, root + made[0].parameters)
    return FreezePlan(tuple(made), number, tuple(still))


def freeze_parameters(model: nn.Module, plan: FreezePlan) -> None:
    """Take the gradients from the frozen units.

    Their ``grad`` becomes None, and what has none is not touched by torch's optimizers:
    neither weight decay nor a momentum from before moves it.
    """
    for unit in plan.frozen:
        for name in unit.parameters:
            parameter = model.get_parameter(name)
            parameter.requires_grad_(False)
            parameter.grad = None


def hold_still(model: nn.Module, plan: FreezePlan) -> None:
    """Put the frozen part into evaluation mode: statistics stay, dropout is off."""
    for name in plan.still:
        # Not `.eval()`, which would reach children that learn.
        model.get_submodule(name).training = False


def count_trainable(model: nn.Module) -> tuple[int, int]:
    """Numbers of parameters that train, and of all."""
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)


@torch.no_grad()
def record_calls(model: nn.Module, input_shape: Sequence[int] = (3, 224, 224)) -> Calls:
    """Note when the modules of backbone and neck run; see :func:`plan_freezing`."""
    calls = Calls({}, {})
    clock = count()

    def note(name: str, *_: Any) -> None:
        calls.last[name] = next(clock)
        calls.first.setdefault(name, calls.last[name])

    handles = [
        module.register_forward_pre_hook(partial(note, name))
        for name, module in _modules(model).items()
    ]
    image = next(model.parameters()).new_zeros(1, *input_shape)
    try:
        with evaluating(model):
            features = image
            for part in _parts(model).values():
                features = part(features)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _parts(model: nn.Module) -> dict[str, nn.Module]:
    """Backbone, and neck if there is one."""
    found = {name: getattr(model, name, None) for name in PARTS}
    return {name: part for name, part in found.items() if part is not None}


def _modules(model: nn.Module) -> dict[str, nn.Module]:
    """All modules of backbone and neck by name, as registered."""
    return {
        name: module
        for part, root in _parts(model).items()
        for name, module in root.named_modules(prefix=part)
    }


def _own_parameters(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Parameters that a module owns directly, by its name; each parameter once."""
    owned: dict[str, tuple[str, ...]] = {}
    for part, root in _parts(model).items():
        for name, _ in root.named_parameters(prefix=part):
            owner = name.rpartition('.')[0]
            owned[owner] = (*owned.get(owner, ()), name)
    return owned


def _lookup(times: Mapping[str, int], name: str) -> int:
    """When a module ran, or else its nearest parent that did."""
    while name not in times:
        name = name.rpartition('.')[0]
    return times[name]


def _still_modules(
    names: Sequence[str], learning: Sequence[str], calls: Calls
) -> list[str]:
    """Modules that are done before the first unit that learns, and hold none."""
    begin = _lookup(calls.first, learning[0])
    return [
        name
        for name in names
        if _lookup(calls.last, name) < begin
        and not any(f'{unit}.'.startswith(f'{name}.') for unit in learning)
    ]
