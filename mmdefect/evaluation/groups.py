"""Means over groups of classes (old, new, all), and their table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmdefect.functional.forgetting import group_mean

Rows = Mapping[str, Mapping[str, float]]  # class -> metric -> value


def groups_of(classes: Sequence[str], old_classes: Sequence[str]) -> dict[str, Tensor]:
    """Name of each group that has classes -> bool mask over the classes.

    Without old classes nothing is new either, and ``all`` stands alone.
    """
    old = torch.tensor([name in old_classes for name in classes])
    groups = {'old': old, 'new': ~old} if old.any() else {}
    groups = {name: mask for name, mask in groups.items() if mask.any()}
    return {**groups, 'all': torch.ones_like(old)}


def group_means(rows: Rows, groups: Mapping[str, Tensor]) -> dict[str, float]:
    """``<metric>_<group>`` -> plain mean over the classes of the group.

    Args:
        rows: Every class with the same metrics, in the order of the masks.
        groups: What :func:`groups_of` returns.
    """
    found = {}
    for metric in next(iter(rows.values())):
        # float64 as in COCO's evaluators: float32 would lose the 1e-6 between backends.
        values = [row[metric] for row in rows.values()]
        row = torch.tensor(values, dtype=torch.float64)
        for group, mask in groups.items():
            found[f'{metric}_{group}'] = float(group_mean(row, mask))
    return found


def table(rows: Rows, groups: Mapping[str, Tensor]) -> str:
    """Products and group means as text, one column a metric."""
    names = list(next(iter(rows.values())))
    means = group_means(rows, groups)
    lines = [['product', *names]]
    for product, row in rows.items():
        lines.append([product, *(_text(row[name]) for name in names)])
    for group in groups:
        values = [means[f'{name}_{group}'] for name in names]
        lines.append([f'mean ({group})', *map(_text, values)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _text(value: float) -> str:
    """A number of the table, a dash where it is undefined."""
    return '–' if math.isnan(value) else f'{value:.3f}'
