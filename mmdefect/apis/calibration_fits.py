"""Thresholds of a model that is trained already, a function a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.datasets.boxes.coco_file import boxes_in_frame, read_coco
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.sources import open_frames
from mmdefect.engine.box_note import box_note, described, unchosen
from mmdefect.engine.calibrated import refuse_test_files
from mmdefect.engine.hooks.calibration import CalibrationHook
from mmdefect.functional.box_thresholds import choose_thresholds
from mmdefect.utils.checks import check_known, some_of
from mmdefect.utils.images import read_bgr

Look = Callable[[Iterable[np.ndarray]], Iterator[Output]]
"""Images to outputs, one after the other."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A choice that is not written yet.

    Attributes:
        note: What becomes ``meta['calibration']``.
        summary: What was chosen, a line.
        notes: What a user should know, one sentence each.
        buffers: What it sets in the weights, by name.
    """

    note: dict[str, Any]
    summary: str
    notes: list[str]
    buffers: Mapping[str, float] = field(default_factory=dict)


def fit_boxes(
    backend: TorchBackend,
    look: Look,
    root: Path,
    annotations: Path,
    *,
    costs: tuple[float, float],
) -> Fit:
    """Choose a threshold a class; see :func:`mmdefect.functional.choose_thresholds`.

    Args:
        backend: The model.
        look: How it looks at images.
        root: Folder the file names are relative to.
        annotations: COCO file.
        costs: What a miss costs and what a false alarm costs.

    Raises:
        ValueError: The file is that of the test or lists no image, or an image cannot
            be read.
    """
    coco = read_coco(annotations)
    refuse_test_files([annotations], backend.cfg.get('test_dataloader'))
    if not coco['images']:
        raise ValueError(f'{annotations} lists no image: expected some; give another')
    classes = backend.spec.classes
    names = {category['id']: category['name'] for category in coco['categories']}
    bits = backend.spec.about.get('bits')
    images = (
        read_bgr(root / i['file_name'], size=(i['width'], i['height']), bits=bits)
        for i in coco['images']
    )
    detections = []
    for output in look(images):
        boxes = cast(BoxOutput, output)
        parts = (boxes.boxes, boxes.scores, boxes.labels)
        detections.append(tuple(torch.from_numpy(part) for part in parts))
    choice = choose_thresholds(
        cast(Any, detections),
        _annotated(coco, names, classes),
        classes=len(classes),
        costs=costs,
    )
    notes = unchosen(choice, classes)
    if strange := [name for name in names.values() if name not in classes]:
        notes.append(
            f'the model does not know {some_of(strange)}, whose boxes were left out'
        )
    note = box_note(choice, classes, costs=costs, images=len(coco['images']))
    return Fit(note=note, summary=described(choice, classes), notes=notes)


def _annotated(
    coco: Mapping[str, Any], names: Mapping[int, str], classes: Sequence[str]
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Boxes, labels and regions of each image, of the classes of the model."""
    rows: dict[int, list[tuple[list[float], int, bool]]]
    rows = {image['id']: [] for image in coco['images']}
    for box in boxes_in_frame(coco)[0]:
        name = names[box['category_id']]
        if name in classes:
            x, y, w, h = box['bbox']
            corners = [x, y, x + w, y + h]
            label = classes.index(name)
            rows[box['image_id']].append((corners, label, bool(box['iscrowd'])))
    return [
        (
            torch.tensor([box for box, _, _ in found]).float().reshape(-1, 4),
            torch.tensor([label for _, label, _ in found], dtype=torch.int64),
            torch.tensor([region for _, _, region in found], dtype=torch.bool),
        )
        for found in rows.values()
    ]


def fit_labels(
    backend: TorchBackend, look: Look, root: Path, *, costs: tuple[float, float]
) -> Fit:
    """Fit temperature and threshold, as the hook does after a training.

    Args:
        backend: The model.
        look: How it looks at images.
        root: Folder of folders named as classes.
        costs: What a miss costs and what a false alarm costs.

    Raises:
        ValueError: The head has nothing to set, a folder is no class, or an image
            cannot be read.
    """
    spec = backend.spec
    if spec.defective is None:
        raise ValueError(
            f'{type(backend.model.head).__name__} has no temperature and no threshold '
            'to set: expected a model with a mmdefect.DefectClsHead; train one'
        )
    rows: list[np.ndarray] = []
    labels: list[int] = []
    for name, outputs in _by_folder(backend, look, root).items():
        found = [cast(LabelOutput, output).probabilities for output in outputs]
        rows += found
        labels += [spec.classes.index(name)] * len(found)
    # Up to a constant an image, these are the logits.
    temperature = float(backend.model.head.temperature)
    tiny = torch.finfo(torch.float32).tiny
    logits = torch.from_numpy(np.stack(rows)).clamp(min=tiny).log() * temperature
    told = _Told()
    hook = CalibrationHook(costs=costs, defective=spec.classes.index(spec.defective))
    fitted = hook.fit(logits, torch.tensor(labels), told)
    note: dict[str, Any] = {
        'task': 'labels',
        **fitted,
        'thresholds': {spec.defective: fitted['threshold']},
        'costs': list(costs),
        'images': len(labels),
    }
    summary = (
        f'threshold {fitted["threshold"]:.3g} of {spec.defective}, temperature '
        f'{fitted["temperature"]:.3g}'
    )
    buffers = {f'head.{name}': fitted[name] for name in ('temperature', 'threshold')}
    return Fit(note=note, summary=summary, notes=told.warnings, buffers=buffers)


class _Told:
    """Keeps what a logger would be told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def fit_maps(backend: TorchBackend, look: Look, root: Path, *, rate: float) -> Fit:
    """Choose a threshold a product from the scores of good images.

    Args:
        backend: The model.
        look: How it looks at images.
        root: Folder of folders named as products; of a model of one product, of its
            images.
        rate: Wanted share of good images that are called defective.

    Raises:
        ValueError: A folder is no product, or an image cannot be read.
    """
    products = backend.spec.classes
    thresholds, counts, notes = {}, {}, []
    for name, outputs in _by_folder(backend, look, root).items():
        scores = [cast(MapOutput, output).score for output in outputs]
        thresholds[name] = good_threshold(scores, rate)
        counts[name] = len(scores)
        if rate * len(scores) < 1:
            notes.append(
                f'{len(scores)} good images of {name} cannot tell a share of {rate:g}: '
                'its threshold lies just above all of them'
            )
    if missing := [name for name in products if name not in thresholds]:
        notes.append(f'no images of {some_of(missing)}: no threshold, nothing decided')
    summary = ', '.join(
        f'{name} {value:.4g} ({counts[name]} images)'
        for name, value in thresholds.items()
    )
    note = {
        'task': 'maps',
        'thresholds': thresholds,
        'false_alarm_rate': rate,
        'images': sum(counts.values()),
        'counts': counts,
    }
    return Fit(note=note, summary=f'thresholds {summary}', notes=notes)


def good_threshold(scores: Sequence[float], rate: float) -> float:
    """Lowest threshold at which no more than a share of good images is called.

    In the middle of the gap above the highest score that is still called good; just
    above it where there is none, or where scores are equal.

    Args:
        scores: Of good images, at least one.
        rate: Share of them that may be at or above the threshold.
    """
    order = sorted(scores)
    # 0.07 * 100 is a little more than 7.
    called = math.floor(rate * len(order) + 1e-9)
    low = order[len(order) - called - 1]
    above = [score for score in order if score > low]
    middle = (low + above[0]) / 2 if above else low
    return middle if middle > low else math.nextafter(low, math.inf)


def _by_folder(
    backend: TorchBackend, look: Look, root: Path
) -> dict[str, Iterator[Output]]:
    """Outputs of the images of each folder, which is named as a class or product."""
    known = backend.spec.classes
    if not root.is_dir():
        raise FileNotFoundError(
            f'there is no folder {root}: expected one of validation images; check the '
            'path'
        )
    folders = {
        path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith('.')
    }
    if len(known) == 1 and known[0] not in folders:
        folders = {known[0]: root}
    if not folders:
        raise ValueError(
            f'{root} holds no folder: expected one a class or product, named '
            f'{some_of(known)}; sort the images into them'
        )
    check_known(folders, known, what=str(root))
    bits = backend.spec.about.get('bits')
    return {name: look(_pictures(path, bits)) for name, path in folders.items()}


def _pictures(folder: Path, bits: int | None) -> Iterator[np.ndarray]:
    for frame in open_frames(folder, bits=bits):
        if frame.image is None:
            raise ValueError(f'{frame.error}; a threshold needs all images')
        yield frame.image
