"""Which epoch is the better one, where a metric of few validation images ties."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LOSSES = ('nll', 'loss')


def validation_loss(metrics: Mapping[str, Any]) -> float:
    """The negative log-likelihood among validation metrics, or another loss.

    ``defect/nll`` is one, as is ``loss``; infinity where none was measured or is NaN.
    """
    for wanted in LOSSES:
        for name, value in metrics.items():
            if name.rpartition('/')[2] == wanted and not math.isnan(value):
                return float(value)
    return math.inf
