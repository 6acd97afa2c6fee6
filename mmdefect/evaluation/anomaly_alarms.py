"""How an anomaly model's decisions turn out: alarms at its threshold, and routing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmdefect.evaluation.anomaly_pixels import ImageRecord

ALARM_METRICS = ('false_alarm', 'miss', 'routing')


def judged(sample: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """What a sample says of its alarm, and whether its product was recognised.

    Args:
        sample: With ``class_name``; ``pred_alarm`` and ``pred_product`` where the model
            has them (see :class:`mmdefect.structures.AnomalySample`).
        classes: Products in label order.

    Returns:
        ``alarm`` and ``routed``, None where the model says nothing. An unknown product
        is an alarm, and not recognised.
    """
    alarm, product = sample.get('pred_alarm'), sample.get('pred_product')
    index = None if product is None else int(product)
    own = classes.index(sample['class_name'])
    return {
        'alarm': None if alarm is None else bool(alarm) or index == -1,
        'routed': None if index is None else index == own,
    }


def decides(images: Sequence[ImageRecord]) -> bool:
    """Whether a model has said anything of alarms or products."""
    return any(r.alarm is not None or r.routed is not None for r in images)


def alarm_metrics(images: Sequence[ImageRecord]) -> dict[str, float]:
    """False alarms, misses and routing of one product, as fractions.

    Args:
        images: All that the product was tested with.

    Returns:
        ``false_alarm``, the share of good images with an alarm; ``miss``, the share of
        defective ones without; ``routing``, the share of images whose product was
        recognised. NaN without such images, or where the model says nothing.
    """
    told = [(record.label, record.alarm) for record in images]
    return {
        'false_alarm': _share(a for label, a in told if not label),
        'miss': _share(a if a is None else not a for label, a in told if label),
        'routing': _share(record.routed for record in images),
    }


def _share(said: Iterable[bool | None]) -> float:
    """Share of what is true among what is said."""
    known = [value for value in said if value is not None]
    return sum(known) / len(known) if known else math.nan
