"""Alarms of anomaly maps, for a model that is trained already."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import torch

from mmdefect.apis.alarms import above, as_told
from mmdefect.apis.calibration_fits import Fit, Look, class_folders, pictures
from mmdefect.apis.datasets import refuse_learned
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.deploy.outputs import MapOutput
from mmdefect.deploy.paths import images_below
from mmdefect.functional.tolerance import tolerance_limit
from mmdefect.utils.checks import some_of


def fit_maps(
    backend: TorchBackend, look: Look, root: Path, *, rate: float, confidence: float
) -> Fit:
    """Choose an alarm a product from the scores of good images.

    See :func:`mmdefect.functional.tolerance_limit`. A model that recognises products
    is told them.

    Args:
        backend: The model.
        look: How it looks at images.
        root: Folder of folders named as products; of a model of one product, of its
            images.
        rate: Wanted share of good images with an alarm, at most.
        confidence: How sure that shall be.

    Raises:
        ValueError: A folder is no product, an image cannot be read, or is one of those
            that the model has learned.
    """
    products = backend.spec.classes
    folders = class_folders(products, root)
    notes = refuse_learned(backend.cfg, [*images_below(*folders.values())])
    bits = backend.spec.about.get('bits')
    thresholds: dict[str, float] = {}
    alarms: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for name, folder in folders.items():
        outputs = look(pictures(folder, bits), product=name)
        scores = [cast(MapOutput, output).score for output in outputs]
        counts[name], thresholds[name] = len(scores), math.nan
        if all(map(math.isfinite, scores)):
            found = torch.tensor(scores, dtype=torch.float64)
            limit = tolerance_limit(found, rate=rate, confidence=confidence)
            thresholds[name], alarms[name] = above(limit.threshold), as_told(limit)
            notes.append(f'{name}: {limit.text}')
    if missing := [name for name in products if name not in thresholds]:
        notes.append(f'no images of {some_of(missing)}: no threshold, nothing decided')
    summary = ', '.join(f'{name} {value:.4g}' for name, value in thresholds.items())
    note = {
        'task': 'maps',
        'thresholds': thresholds,
        'alarms': alarms,
        'false_alarm_rate': rate,
        'confidence': confidence,
        'images': sum(counts.values()),
        'counts': counts,
    }
    return Fit(note=note, summary=f'thresholds {summary}', notes=notes)
