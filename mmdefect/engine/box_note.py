"""What is written, and said, of the thresholds of a detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmdefect.functional.box_thresholds import BoxChoice


def box_note(
    choice: BoxChoice,
    classes: Sequence[str],
    *,
    costs: tuple[float, float],
    images: int,
) -> dict[str, Any]:
    """``meta['calibration']`` of a detector; only classes with a threshold are in it.

    Args:
        choice: As it was made.
        classes: Names in label order.
        costs: What a miss costs and what a false alarm costs.
        images: Number of validation images.
    """
    rows = zip(classes, choice.thresholds.tolist(), strict=True)
    thresholds = {name: value for name, value in rows if not math.isnan(value)}
    counts = zip(
        classes,
        choice.truths.tolist(),
        choice.found.tolist(),
        choice.false_alarms.tolist(),
        strict=True,
    )
    return {
        'task': 'boxes',
        'thresholds': thresholds,
        'costs': list(costs),
        'images': images,
        'counts': {
            name: {'boxes': truths, 'found': found, 'false_alarms': alarms}
            for name, truths, found, alarms in counts
        },
    }


def unchosen(choice: BoxChoice, classes: Sequence[str]) -> list[str]:
    """One sentence on each kind of class that has no threshold of its own."""
    missing = choice.thresholds.isnan()
    absent, blind = missing & (choice.truths == 0), missing & (choice.truths > 0)
    told = []
    for kinds, why in (
        (absent, 'the validation images show no box of'),
        (blind, 'the model finds nothing in the validation images of'),
    ):
        names = [classes[k] for k in kinds.nonzero().flatten().tolist()]
        if names:
            told.append(f'{why} {", ".join(names)}: the default threshold stays')
    return told


def described(choice: BoxChoice, classes: Sequence[str]) -> str:
    """What was chosen, a line."""
    rows = zip(
        classes,
        choice.thresholds.tolist(),
        choice.found.tolist(),
        choice.truths.tolist(),
        choice.false_alarms.tolist(),
        strict=True,
    )
    chosen = [
        f'{name} {threshold:.3g} (finds {found} of {truths}, {alarms} false alarms)'
        for name, threshold, found, truths, alarms in rows
        if not math.isnan(threshold)
    ]
    return 'thresholds ' + (', '.join(chosen) or 'of no class')
