"""Alarms of anomaly maps, for a model that is trained already."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmdefect.apis.alarms import above, as_told
from mmdefect.apis.calibration_fits import Fit, Look, class_folders, pictures
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.datasets.same_images import same_pairs
from mmdefect.deploy.outputs import MapOutput
from mmdefect.functional.tolerance import tolerance_limit
from mmdefect.utils.checks import name_some, some_of
from mmdefect.utils.config import innermost
from mmdefect.utils.dumped_config import SCOPES, check_types
from mmdefect.utils.image_header import SUFFIXES


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
    notes = refuse_learned(backend.cfg, products, folders)
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


def refuse_learned(
    cfg: Config, products: Sequence[str], folders: Mapping[str, Path]
) -> list[str]:
    """Refuse good images that a model has learned: it is too sure of them.

    Args:
        cfg: Of the model.
        products: All that it knows.
        folders: Of the images, by product.

    Returns:
        A note where the training images are not on this machine.

    Raises:
        ValueError: Some of the images are training images, too.
    """
    loader = cfg.get('train_dataloader')
    if loader is None:
        return []
    check_types(loader.dataset, 'train_dataloader', (*SCOPES, 'mmcv', 'mmengine'))
    learned = [*_learned(cfg, products)]
    given = [
        path
        for folder in folders.values()
        for path in sorted(folder.rglob('*'))
        if path.suffix.lower() in SUFFIXES
    ]
    if same := same_pairs(learned, given):
        raise ValueError(
            f'images that the model has learned ({name_some(same)}): expected good '
            'images that it has not seen, or more false alarms come than are said; '
            'take others'
        )
    if learned:
        return []
    return ['the training images are not here, to tell whether these are others']


def _learned(cfg: Config, products: Sequence[str]) -> Iterator[str]:
    """Training images of all products, as far as they are there."""
    settings = {
        **innermost(cfg.train_dataloader.dataset),
        'seen_classes': None,
        'replay': 0,
        'replay_classes': (),
        'rebalance': False,
        'verify': False,
        'pipeline': [],
    }
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for name in products:
            # Those of products of earlier steps may be gone.
            with suppress(OSError, ValueError):
                dataset: Any = DATASETS.build({**settings, 'keep_classes': [name]})
                for index in range(len(dataset)):
                    yield dataset.get_data_info(index)['img_path']
