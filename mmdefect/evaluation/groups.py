"""What is said of classes together: group means, comparisons, a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmdefect.functional.forgetting import gap, group_mean

Rows = Mapping[str, Mapping[str, float]]  # class -> metric -> value


def check_old_classes(classes: Sequence[str], old_classes: Sequence[str]) -> None:
    """Refuse old classes that are not among those seen.

    Raises:
        ValueError: Naming them.
    """
    unknown = [name for name in old_classes if name not in classes]
    if unknown:
        raise ValueError(
            f'old class {", ".join(unknown)} was given, old classes are expected '
            f'among the seen ones {", ".join(classes)}; correct old_classes.'
        )


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
        row = _row({name: values[metric] for name, values in rows.items()}, rows)
        for group, mask in groups.items():
            found[f'{metric}_{group}'] = float(group_mean(row, mask))
    return found


def forgotten(
    now: Mapping[str, float], previous: Mapping[str, float], old: Sequence[str]
) -> dict[str, float]:
    """What each old class lost since the step before, and the mean.

    Args:
        now: Class -> value.
        previous: Class -> value after the step before.
        old: Old classes; without any there is nothing to forget and no key.

    Raises:
        ValueError: If an old class is missing in ``previous``.
    """
    if not old:
        return {}
    lost = gap(_row(now, old), _row(previous, old))
    found = {f'forgetting/{n}': float(v) for n, v in zip(old, lost, strict=True)}
    return found | {'forgetting_old': float(lost.nanmean())}


def gaps_to_joint(
    now: Mapping[str, float],
    joint: Mapping[str, float],
    groups: Mapping[str, Tensor],
) -> dict[str, float]:
    """``gap_to_joint_<group>``: what is missing to training on all classes at once.

    Args:
        now: Class -> value, in the order of the masks.
        joint: Class -> value of joint training.
        groups: What :func:`groups_of` returns.

    Raises:
        ValueError: If a class is missing in ``joint``.
    """
    missing = gap(_row(now, now), _row(joint, now))
    return {
        f'gap_to_joint_{group}': float(group_mean(missing, mask))
        for group, mask in groups.items()
    }


def table(rows: Rows, groups: Mapping[str, Tensor]) -> str:
    """Products and group means as text, one column a metric."""
    names = list(next(iter(rows.values())))
    means = group_means(rows, groups)
    lines = [['product', *names]]
    for product, row in rows.items():
        lines.append([product, *(f'{row[name]:.3f}' for name in names)])
    for group in groups:
        values = [means[f'{name}_{group}'] for name in names]
        lines.append([f'mean ({group})', *(f'{value:.3f}' for value in values)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _row(values: Mapping[str, float], names: Sequence[str] | Mapping) -> Tensor:
    missing = [name for name in names if name not in values]
    if missing:
        raise ValueError(
            f'no value of {", ".join(missing)} was given to compare with, one of each '
            f'of {", ".join(names)} was expected.'
        )
    # float64 as in COCO's evaluators: float32 would lose the 1e-6 between backends.
    return torch.tensor([values[name] for name in names], dtype=torch.float64)
