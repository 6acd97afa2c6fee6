"""Alarms of anomaly maps: what decides, and what its images certify, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mmdefect.functional.tolerance import ToleranceLimit


def above(limit: float) -> float:
    """From which score on there is an alarm, if it is one above ``limit``.

    Scores are float32: the next one.

    Example:
        >>> above(1.0)
        1.0000001192092896
    """
    return float(np.nextafter(np.float32(limit), np.float32(np.inf)))


def as_told(limit: ToleranceLimit) -> dict[str, Any]:
    """Plain data of an alarm, as :class:`mmdefect.deploy.spec.ModelSpec` holds it."""
    return {**asdict(limit), 'text': limit.text}


def own_alarms(model: Any, classes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Alarms that a model has chosen while it learned, by product.

    Its scores are divided by them: 1 is the alarm of every product.

    Args:
        model: None of them where it has no ``alarms()``.
        classes: Its products.
    """
    if not hasattr(model, 'alarms'):
        return {}
    limits = zip(classes, model.alarms(), strict=True)
    return {name: as_told(limit) for name, limit in limits if limit is not None}
