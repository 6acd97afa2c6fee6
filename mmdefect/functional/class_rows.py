"""Class rows of weights, moved by class name to a model of more classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

GFL_CLASS_KEYS = ('bbox_head.gfl_cls.weight', 'bbox_head.gfl_cls.bias')
"""Parameters of mmdet's GFL head whose first dimension is the class."""
ATSS_CLASS_KEYS = ('bbox_head.atss_cls.weight', 'bbox_head.atss_cls.bias')
"""The same of mmdet's ATSS head."""
CONDITIONER_CLASS_KEYS = (
    'conditioner.classifier.weight',
    'conditioner.classifier.bias',
)
"""Parameters of a model with an ``ObjectConditioner`` whose rows are products."""


@dataclass(frozen=True, kw_only=True)
class ExpansionReport:
    """Account of an expansion: what became of every key, and of every class.

    Attributes:
        copied: Keys taken over as they are.
        expanded: Keys whose rows were moved to where their class is now.
        initialised: Keys that the old weights lack.
        old_classes: Classes whose rows were taken over.
        fresh_classes: Classes whose rows keep their initial values.
    """

    copied: tuple[str, ...]
    expanded: tuple[str, ...]
    initialised: tuple[str, ...]
    old_classes: tuple[str, ...]
    fresh_classes: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f'{len(self.copied)} keys copied, {len(self.expanded)} expanded by class '
            f'name, {len(self.initialised)} newly initialised; classes taken over: '
            f'{_some_of(self.old_classes) or "none"}; fresh: '
            f'{_some_of(self.fresh_classes) or "none"}'
        )


def expand_by_class(
    old_state: Mapping[str, Tensor],
    new_state: Mapping[str, Tensor],
    *,
    old_classes: Sequence[str],
    new_classes: Sequence[str],
    class_keys: Sequence[str] = GFL_CLASS_KEYS,
    new_keys: Sequence[str] = (),
) -> tuple[dict[str, Tensor], ExpansionReport]:
    """Fill a model's fresh weights from weights that know fewer or reordered classes.

    Args:
        old_state: The weights to start from.
        new_state: The freshly initialised weights of the model to fill.
        old_classes: Class of each row of the ``class_keys`` in ``old_state``.
        new_classes: The same for ``new_state``; holds every old class, in any order.
        class_keys: Keys of shape ``(classes, ...)``.
        new_keys: Patterns (``neck.extra.*``) of keys that ``old_state`` may lack.

    Returns:
        The filled weights, with exactly the keys and shapes of ``new_state``, and what
        happened to each. Rows of new classes keep their values in ``new_state``.

    Raises:
        ValueError: If any key cannot be accounted for, or an old class has no place.

    Example:
        >>> old, new = {'w': torch.ones(1, 2)}, {'w': torch.zeros(2, 2)}
        >>> names = {'old_classes': ['pit'], 'new_classes': ['dent', 'pit']}
        >>> expand_by_class(old, new, class_keys=['w'], **names)[0]
        {'w': tensor([[0., 0.],
                [1., 1.]])}
    """
    _check_classes(old_classes, new_classes)
    class_rows = {key for key in class_keys if key in new_state}
    initialised = tuple(
        key
        for key in new_state
        if key not in old_state and any(fnmatchcase(key, name) for name in new_keys)
    )
    _check_keys(old_state, new_state, class_rows, set(initialised))
    _check_rows(old_state, old_classes, class_keys, 'old')
    _check_rows(new_state, new_classes, class_keys, 'new')

    rows = torch.tensor([list(new_classes).index(name) for name in old_classes])
    filled: dict[str, Tensor] = {}
    for key, fresh in new_state.items():
        if key in class_rows:
            filled[key] = fresh.clone()
            filled[key][rows] = old_state[key].to(fresh)
        else:
            filled[key] = fresh if key in initialised else old_state[key]
    taken = class_rows.union(initialised)
    return filled, ExpansionReport(
        copied=tuple(key for key in new_state if key not in taken),
        expanded=tuple(key for key in new_state if key in class_rows),
        initialised=initialised,
        old_classes=tuple(old_classes),
        fresh_classes=tuple(name for name in new_classes if name not in old_classes),
    )


def scale_rows(
    state: Mapping[str, Tensor],
    lines: Tensor,
    *,
    class_keys: Sequence[str] = GFL_CLASS_KEYS,
) -> dict[str, Tensor]:
    """Scale and shift the logits of each class: weights times ``a``, biases ``a, b``.

    Args:
        state: Weights of a detector.
        lines: Scale ``a`` and offset ``b`` of each class, shape ``(C, 2)``.
        class_keys: The weight and the bias of the last layer.

    Raises:
        ValueError: There are not as many rows as classes.

    Example:
        >>> old = {'w': torch.ones(2, 1), 'b': torch.ones(2)}
        >>> lines = torch.tensor([[1.0, 0], [2, 0.5]])
        >>> scale_rows(old, lines, class_keys=['w', 'b'])['b']
        tensor([1.0000, 2.5000])
    """
    weight, bias = class_keys
    if len(state[bias]) != len(lines):
        raise ValueError(
            f'lines of {len(lines)} classes: expected {len(state[bias])}, one for each '
            f'row of {bias!r}'
        )
    scale, offset = lines.to(state[bias].device).unbind(dim=1)
    by_row = scale.reshape(-1, *[1] * (state[weight].ndim - 1))
    moved = {weight: state[weight] * by_row, bias: state[bias] * scale + offset}
    return {**state, **{key: new.to(state[key]) for key, new in moved.items()}}


def with_fresh_classes(
    state: Mapping[str, Tensor],
    *,
    num_classes: int,
    class_keys: Sequence[str] = GFL_CLASS_KEYS,
    std: float = 0.01,
    bias_prob: float = 0.01,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return the weights with their class rows initialised as mmdet's GFL head does.

    Weights are drawn from N(0, ``std``), biases make every score ``bias_prob``:
    ``-log((1 - p) / p)`` (Lin et al., Focal Loss, ICCV 2017, section 4.1).

    Raises:
        ValueError: If a class key is not there.

    Example:
        >>> old = {'head.bias': torch.zeros(2)}
        >>> with_fresh_classes(old, num_classes=3, class_keys=['head.bias'])
        {'head.bias': tensor([-4.5951, -4.5951, -4.5951])}
    """
    generator = torch.Generator().manual_seed(seed)
    fresh = dict(state)
    for key in class_keys:
        if key not in state:
            raise ValueError(
                f'class_keys={key!r}: expected a key of the weights, one row a class; '
                'give the weights of a GFL detector'
            )
        size = (num_classes, *state[key].shape[1:])
        if key.endswith('.bias'):
            rows = torch.full(size, -math.log((1 - bias_prob) / bias_prob))
        else:
            rows = torch.empty(size).normal_(0, std, generator=generator)
        fresh[key] = rows.to(state[key])
    return fresh


def _check_classes(old_classes: Sequence[str], new_classes: Sequence[str]) -> None:
    for classes in (old_classes, new_classes):
        if len(set(classes)) != len(classes):
            raise ValueError(f'classes={list(classes)}: expected each name once')
    lost = [name for name in old_classes if name not in new_classes]
    if lost:
        raise ValueError(
            f'new_classes={list(new_classes)}: expected the old classes {lost} among '
            'them; list every old class, or what was learned of it is lost'
        )


def _check_keys(
    old_state: Mapping[str, Tensor],
    new_state: Mapping[str, Tensor],
    class_rows: set[str],
    initialised: set[str],
) -> None:
    unused = [key for key in old_state if key not in new_state]
    missing = [
        key for key in new_state if key not in old_state and key not in initialised
    ]
    reshaped = [
        f'{key} {tuple(old_state[key].shape)} -> {tuple(fresh.shape)}'
        for key, fresh in new_state.items()
        if key in old_state
        # By class the number of rows may differ.
        and old_state[key].shape[key in class_rows :]
        != fresh.shape[key in class_rows :]
    ]
    problems = {
        'not in the model': unused,
        'not in the old weights': missing,
        'of another shape': reshaped,
    }
    if any(problems.values()):
        details = '; '.join(
            f'{len(keys)} {problem}: {_some_of(keys, 8)}'
            for problem, keys in problems.items()
            if keys
        )
        raise ValueError(
            f'old_state: expected the keys and shapes of the model, not {details}; '
            'give weights of the same architecture, or name what is new in new_keys'
        )


def _check_rows(
    state: Mapping[str, Tensor],
    classes: Sequence[str],
    class_keys: Sequence[str],
    which: str,
) -> None:
    for key in class_keys:
        rows = len(state[key]) if key in state else 0
        if rows != len(classes):
            raise ValueError(
                f'{which}_classes={list(classes)}: expected {rows} names, one for each '
                f'row of {key!r} in the {which} weights; check the class names and '
                'class_keys'
            )


def _some_of(names: Sequence[str], limit: int = 8) -> str:
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more
