"""Thresholds of boxes, for a model that is trained already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from mmdefect.apis.calibration_fits import (
    Fit,
    Look,
    refuse_other_case,
    validation_loader,
)
from mmdefect.apis.datasets import build_dataset, refuse_learned
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.datasets.boxes.coco_file import boxes_in_frame, read_coco
from mmdefect.deploy.outputs import BoxOutput
from mmdefect.engine.box_note import box_note, described, unchosen
from mmdefect.engine.calibrated import annotation_files, refuse_test_files
from mmdefect.engine.hooks.box_calibration import annotated_boxes, for_classes
from mmdefect.functional.box_thresholds import choose_thresholds
from mmdefect.utils.checks import some_of
from mmdefect.utils.images import read_bgr

Boxes = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Annotated = tuple[Iterator[np.ndarray], list[Boxes], list[str]]
"""Images, their boxes, labels and regions, and what a user should know of them."""


def fit_boxes(
    backend: TorchBackend,
    look: Look,
    root: Path | None,
    annotations: Path | None,
    *,
    costs: tuple[float, float],
) -> Fit:
    """Choose a threshold a class; see :func:`mmdefect.functional.choose_thresholds`.

    Args:
        backend: The model.
        look: How it looks at images.
        root: Folder the file names are relative to.
        annotations: COCO file; without both, the config's validation images.
        costs: What a miss costs and what a false alarm costs.

    Raises:
        ValueError: The file is that of the test or lists no image, an image is one of
            the training, or one cannot be read.
    """
    classes = backend.spec.classes
    if root is None or annotations is None:
        images, truths, notes = _validation_boxes(backend)
    else:
        images, truths, notes = _listed_boxes(backend, root, annotations)
    detections = []
    for output in look(images):
        boxes = cast(BoxOutput, output)
        parts = (boxes.boxes, boxes.scores, boxes.labels)
        detections.append(tuple(torch.from_numpy(part) for part in parts))
    choice = choose_thresholds(
        cast(Any, detections), truths, classes=len(classes), costs=costs
    )
    note = box_note(choice, classes, costs=costs, images=len(truths))
    notes += unchosen(choice, classes)
    return Fit(note=note, summary=described(choice, classes), notes=notes)


def _validation_boxes(backend: TorchBackend) -> Annotated:
    loader = for_classes(validation_loader(backend.cfg), backend.spec.classes)
    dataset = build_dataset(backend.cfg, loader.dataset)
    refuse_test_files(annotation_files(dataset), backend.cfg.get('test_dataloader'))
    truths = annotated_boxes(dataset)
    bits = backend.spec.about.get('bits')
    notes = refuse_learned(backend.cfg, [*map(Path, truths)])
    images = (read_bgr(path, bits=bits) for path in truths)
    return images, list(truths.values()), notes


def _listed_boxes(backend: TorchBackend, root: Path, annotations: Path) -> Annotated:
    coco = read_coco(annotations)
    refuse_test_files([annotations], backend.cfg.get('test_dataloader'))
    if not coco['images']:
        raise ValueError(f'{annotations} lists no image: expected some; give another')
    names = {category['id']: category['name'] for category in coco['categories']}
    refuse_other_case(names.values(), backend.spec.classes, what=str(annotations))
    bits = backend.spec.about.get('bits')
    images = (
        read_bgr(root / i['file_name'], size=(i['width'], i['height']), bits=bits)
        for i in coco['images']
    )
    notes = refuse_learned(
        backend.cfg, [root / image['file_name'] for image in coco['images']]
    )
    if strange := [n for n in names.values() if n not in backend.spec.classes]:
        notes.append(
            f'the model does not know {some_of(strange)}, whose boxes were left out'
        )
    return images, _annotated(coco, names, backend.spec.classes), notes


def _annotated(
    coco: Mapping[str, Any], names: Mapping[int, str], classes: Sequence[str]
) -> list[Boxes]:
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
