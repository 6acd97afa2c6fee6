"""How right a model is on labelled images, whatever computes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmdefect.datasets.anomaly.layout import (
    image_files,
    list_products,
    scan_products,
)
from mmdefect.datasets.boxes.coco_file import read_coco
from mmdefect.deploy.backend import Backend
from mmdefect.deploy.decision import decide
from mmdefect.deploy.outputs import Output
from mmdefect.deploy.sources import read_image
from mmdefect.deploy.spec import ModelSpec
from mmdefect.utils.checks import check_known, name_some


@dataclass(frozen=True, kw_only=True)
class LabelledSet:
    """Images of which the answer is known.

    Attributes:
        images: Files, in a fixed order.
        measure: Its name.
        grade: From one output an image to a fraction, 1 is right.
    """

    images: tuple[Path, ...]
    measure: str
    grade: Callable[[list[Output]], float]

    def measured(self, backend: Backend) -> float:
        """How right a model is on them, one image at a time.

        Raises:
            ValueError: An image cannot be read.
        """
        bits = backend.spec.about.get('bits')
        found = (backend([read_image(path, bits=bits)])[0] for path in self.images)
        return self.grade([*found])


def read_labelled(
    source: Path, spec: ModelSpec, *, images: Path | None = None
) -> LabelledSet:
    """Find the labelled images that a model of some task can be measured on.

    Args:
        source: Boxes: a COCO file. Labels: a folder that has one of images a class.
            Maps: a folder of products as MVTec-AD has them.
        spec: Of the model.
        images: Boxes only: where the file names of ``source`` start; its own folder by
            default.

    Raises:
        FileNotFoundError: There is no such file or folder, or an image is missing.
        ValueError: It holds no labelled image of a class of the model, or other ones.
    """
    if spec.task == 'boxes':
        return _boxes(source, spec, images or source.parent)
    if spec.task == 'labels':
        return _labels(source, spec)
    return _maps(source, spec)


def _boxes(source: Path, spec: ModelSpec, root: Path) -> LabelledSet:
    from mmdefect.utils.console import quiet_console

    quiet_console()  # mmdet says twice what optional package is not there
    from mmdefect.evaluation.grouped_coco import GroupedCocoMetric

    entries = read_coco(source)['images']
    paths = tuple(root / entry['file_name'] for entry in entries)
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        raise FileNotFoundError(
            f'{source}: expected its images in {root}, missing are '
            f'{name_some(missing)}; say where its file names start '
            '(--labelled-images)'
        )
    metric = GroupedCocoMetric(ann_file=str(source))
    metric.dataset_meta = {'classes': list(spec.classes)}
    metric.open()
    return LabelledSet(
        images=paths, measure='AP50', grade=partial(_ap50, metric, entries)
    )


def _ap50(metric: Any, entries: list[dict[str, Any]], outputs: list[Output]) -> float:
    metric.results = []
    metric.process({}, list(_box_samples(entries, outputs)))
    return float(metric.compute_metrics(metric.results)['AP50_all'])


def _box_samples(
    entries: list[dict[str, Any]], outputs: list[Any]
) -> Iterator[dict[str, Any]]:
    """What a detector of mmdet hands to a metric."""
    import torch

    for entry, output in zip(entries, outputs, strict=True):
        yield {
            'img_id': entry['id'],
            'ori_shape': (entry['height'], entry['width']),
            'pred_instances': {
                'bboxes': torch.from_numpy(output.boxes),
                'scores': torch.from_numpy(output.scores),
                'labels': torch.from_numpy(output.labels),
            },
        }


def _labels(source: Path, spec: ModelSpec) -> LabelledSet:
    if not source.is_dir():
        raise FileNotFoundError(
            f'there is no folder {source}: expected one with a folder of images a '
            'class; check the path'
        )
    folders = sorted(path for path in source.iterdir() if path.is_dir())
    check_known((path.name for path in folders), spec.classes, what=str(source))
    found = [
        (path, spec.classes.index(folder.name))
        for folder in folders
        for path in image_files(folder)
    ]
    if not found:
        raise ValueError(
            f'{source}: expected a folder of images a class, '
            f'{", ".join(spec.classes)}; there is none'
        )
    return LabelledSet(
        images=tuple(path for path, _ in found),
        measure='accuracy at the threshold',
        grade=partial(_share_right, spec, [label for _, label in found]),
    )


def _share_right(spec: ModelSpec, labels: list[int], outputs: list[Output]) -> float:
    right = [
        decide(output, spec, source='', size=(0, 0)).label == label
        for output, label in zip(outputs, labels, strict=True)
    ]
    return float(np.mean(right))


def _maps(source: Path, spec: ModelSpec) -> LabelledSet:
    products = [name for name in list_products(source) if name in spec.classes]
    by_product: dict[str, list[int]] = defaultdict(list)
    scan = scan_products(source, products, 'test')
    for image in scan.images:
        by_product[image.product].append(image.label)
    if scan.errors:
        raise ValueError(scan.errors[0])
    alike = [name for name in products if len(set(by_product[name])) < 2]
    if alike or not products:
        raise ValueError(
            f'{source}: expected products of {", ".join(spec.classes)} with good and '
            f'defective images below test, {name_some(alike)} have not both; add them'
        )
    return LabelledSet(
        images=tuple(image.path for image in scan.images),
        measure='image AUROC',
        grade=partial(_mean_auroc, by_product),
    )


def _mean_auroc(by_product: dict[str, list[int]], outputs: list[Output]) -> float:
    """Mean over products: the scores of two are not of one scale."""
    import torch

    from mmdefect.functional.ranking import auroc

    scores = iter([getattr(output, 'score', np.nan) for output in outputs])
    found = []
    for labels in by_product.values():
        own = torch.tensor([next(scores) for _ in labels], dtype=torch.float64)
        found.append(float(auroc(own, torch.tensor(labels))))
    return float(np.mean(found))
