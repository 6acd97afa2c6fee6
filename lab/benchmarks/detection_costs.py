"""What the detector's data, metric and optimizer cost beside those of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from mmdefect.datasets.boxes.class_split import cooccurrence_table
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.engine.optimizers import MergedAdamW
from mmdefect.evaluation.box_rows import coco_results
from mmdefect.evaluation.grouped_coco import GroupedCocoMetric
from mmdefect.testing.textures import steel_texture
from mmdefect.utils.timing import Progress, interleaved

Results = dict[str, float]
# COCO's training set: images, boxes, classes.
COCO = (118_000, 860_000, 80)
# Of NEU-DET: training images that are decoded at the start, and their side.
STEEL = (1_440, 200)
CLASSES = [f'kind {number}' for number in range(COCO[2])]
ROOT = Path(__file__).resolve().parents[2]


def drawn_coco(images: int, boxes: int, *, classes: int = COCO[2]) -> dict[str, Any]:
    """A COCO file of random boxes, each image with classes of its own."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, 400, (boxes, 2)).round(2)
    sides = random.uniform(8, 200, (boxes, 2)).round(2)
    rows = np.hstack([corners, sides])
    columns = (
        random.integers(0, images, boxes).tolist(),
        random.integers(0, classes, boxes).tolist(),
        rows.tolist(),
        rows[:, 2:].prod(axis=1).round(2).tolist(),
    )
    return {
        'images': [
            {'id': n, 'file_name': f'{n:06d}.jpg', 'width': 640, 'height': 640}
            for n in range(images)
        ],
        'annotations': [
            {
                'id': number,
                'image_id': image,
                'category_id': label,
                'bbox': box,
                'area': area,
                'iscrowd': 0,
            }
            for number, (image, label, box, area) in enumerate(
                zip(*columns, strict=True), 1
            )
        ],
        'categories': [{'id': n, 'name': CLASSES[n]} for n in range(classes)],
    }


def write_coco(folder: Path, images: int, boxes: int) -> Path:
    """Write such a file and, as links to one byte, its images; none is decoded."""
    path = folder / 'train.json'
    path.write_text(json.dumps(drawn_coco(images, boxes)), encoding='utf-8')
    (folder / 'one').write_bytes(b'1')
    for number in range(images):
        (folder / f'{number:06d}.jpg').symlink_to('one')
    return path


def step_dataset(path: Path) -> DefectDetDataset:
    """The first of two steps of half the classes each, without a look at pixels."""
    return DefectDetDataset(
        data_root=f'{path.parent}/',
        ann_file=path.name,
        keep_classes=CLASSES[: len(CLASSES) // 2],
        filter_cfg={'filter_empty_gt': True, 'min_size': 32},
        pipeline=[],
        verify_images=False,
        metainfo={'classes': tuple(CLASSES)},
    )


def stock_dataset(path: Path) -> Any:
    """Mmdet's own dataset of the same classes."""
    from mmdet.datasets import CocoDataset

    return CocoDataset(
        data_root=f'{path.parent}/',
        ann_file=path.name,
        data_prefix={'img': ''},
        filter_cfg={'filter_empty_gt': True, 'min_size': 32},
        pipeline=[],
        metainfo={'classes': tuple(CLASSES[: len(CLASSES) // 2])},
    )


def dataset_build(pairs: int, *, share: int = 10, progress: Progress | None) -> Results:
    """A step dataset over mmdet's, of a ``share`` of COCO."""
    with TemporaryDirectory() as folder:
        path = write_coco(Path(folder), COCO[0] // share, COCO[1] // share)
        if (ours := len(step_dataset(path))) != (other := len(stock_dataset(path))):
            raise RuntimeError(f'{ours} and {other} images: expected as many of both')
        times = interleaved(
            lambda: step_dataset(path),
            lambda: stock_dataset(path),
            pairs=pairs,
            warmup=0,
            progress=progress,
        )
    return times.metrics('dataset_build/cocodataset')


def dataset_peak() -> Results:
    """Peak memory of a step dataset of COCO's size while it is built, in GB.

    Of the whole process, which is what the goal is for; and what the build adds to the
    imports of torch and mmdet, about 1 GB.
    """
    with TemporaryDirectory() as folder:
        path = write_coco(Path(folder), *COCO[:2])
        told = _run(
            'import sys; from pathlib import Path\n'
            'from lab.benchmarks.detection_costs import step_dataset\n'
            'from lab.benchmarks.peak import peak_bytes as peak\n'
            'before = peak(); step_dataset(Path(sys.argv[1])); print(before, peak())',
            path,
        )
    before, whole = (int(number) / 1e9 for number in told.split()[-2:])
    return {
        'dataset_118k_peak_gb': whole,
        'dataset_118k_added_gb': whole - before,
    }


def cooccurrence() -> Results:
    """Seconds of the table of which classes of two steps meet, of COCO's size."""
    coco = drawn_coco(*COCO[:2])
    half = len(CLASSES) // 2
    begin = time.perf_counter()
    cooccurrence_table(coco, [CLASSES[:half], CLASSES[half:]])
    return {'cooccurrence_118k_s': time.perf_counter() - begin}


def grouped_metric(
    pairs: int, *, images: int = 500, each: int = 100, progress: Progress | None
) -> Results:
    """The metric with its diagnosis over faster-coco-eval's own numbers alone.

    Both are given the boxes of a detector, ``each`` an image: ours as the arrays that
    mmdet keeps, the other as the dicts that it reads.
    """
    classes = 20
    coco = drawn_coco(images, 7 * images, classes=classes)
    predictions = drawn_predictions(coco, each=each)
    with TemporaryDirectory() as folder:
        path = Path(folder, 'test.json')
        path.write_text(json.dumps(coco), encoding='utf-8')
        metric = GroupedCocoMetric(
            ann_file=str(path), old_classes=CLASSES[: classes // 2], backend='faster'
        )
        metric.dataset_meta = {'classes': CLASSES[:classes]}
        metric.open()
    results = [({'img_id': one['img_id']}, one) for one in predictions]

    # Making the dicts is ours alone, and timed with the metric. Each is read once:
    # loadRes writes into it.
    dicts = [coco_results(predictions, metric.cat_ids) for _ in range(pairs + 1)]
    times = interleaved(
        lambda: metric.compute_metrics(results),
        lambda: evaluate_alone(metric, dicts.pop()),
        pairs=pairs,
        warmup=1,
        progress=progress,
    )
    return times.metrics('grouped_metric/faster_coco_eval')


def evaluate_alone(metric: GroupedCocoMetric, boxes: list[dict[str, Any]]) -> None:
    """Score with faster-coco-eval as its manual says."""
    from faster_coco_eval import COCOeval_faster

    found = metric._coco_api.loadRes(boxes)
    evaluation = COCOeval_faster(metric._coco_api, found, 'bbox')
    evaluation.params.maxDets = sorted(metric.proposal_nums)
    evaluation.evaluate()
    evaluation.accumulate()


def drawn_predictions(coco: dict[str, Any], *, each: int) -> list[dict[str, Any]]:
    """Boxes near the annotated ones and elsewhere, as a detector leaves them."""
    random = np.random.default_rng(1)
    truths: dict[int, list[tuple[list[float], int]]] = {
        image['id']: [] for image in coco['images']
    }
    for box in coco['annotations']:
        truths[box['image_id']].append((box['bbox'], box['category_id']))
    found = []
    for image, known in truths.items():
        sides = random.uniform(8, 200, (each, 2))
        boxes = np.hstack([random.uniform(0, 400, (each, 2)), sides])
        labels = random.integers(0, len(coco['categories']), each)
        for row, (box, label) in enumerate(known[:each]):
            boxes[row] = np.array(box) + random.normal(0, 4, 4)
            labels[row] = label
        boxes[:, 2:] = boxes[:, :2] + boxes[:, 2:].clip(min=1)
        found.append(
            {
                'img_id': image,
                'bboxes': boxes.astype(np.float32),
                'scores': random.uniform(0.05, 1, each).astype(np.float32),
                'labels': labels,
            }
        )
    return found


def merged_adamw(pairs: int, model: nn.Module, progress: Progress | None) -> Results:
    """A step of AdamW with a group a parameter, merged over one by one."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    groups = [{'params': [one]} for one in model.parameters() if one.requires_grad]
    ours = MergedAdamW([dict(group) for group in groups], lr=1e-5)
    other = torch.optim.AdamW([dict(group) for group in groups], lr=1e-5)
    times = interleaved(ours.step, other.step, pairs=pairs, progress=progress)
    return times.metrics('merged_adamw/adamw')


def startup(pairs: int, config: Path, progress: Progress | None) -> Results:
    """A training up to its first iteration, over stock mmdet's with the same network.

    Each is a process of its own, with the images of NEU-DET drawn, every one of which
    ours decodes before it starts, and the other when it meets it.
    """
    with TemporaryDirectory() as folder:
        draw_steel(Path(folder), *STEEL)
        sides = [
            lambda kind=kind: _run(START, kind, config, folder)
            for kind in ('ours', 'stock')
        ]
        times = interleaved(*sides, pairs=pairs, warmup=1, progress=progress)
    return times.metrics('startup/mmdet_startup')


def draw_steel(folder: Path, images: int, side: int) -> None:
    """Draw grey JPEGs with a box each, a fourth more to test on, and their files."""
    random = np.random.default_rng(0)
    coco = drawn_coco(images + images // 4, images + images // 4, classes=6)
    for number, (image, box) in enumerate(
        zip(coco['images'], coco['annotations'], strict=True)
    ):
        pixels = steel_texture(random, side).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / image['file_name']), pixels)
        image.update(width=side, height=side)
        box.update(image_id=number, bbox=[9.0, 9.0, 60.0, 60.0], area=3600.0)
    for name, part in (('train', slice(images)), ('test', slice(images, None))):
        rows = {key: coco[key][part] for key in ('images', 'annotations')}
        path = folder / f'{name}.json'
        path.write_text(json.dumps({**coco, **rows}), encoding='utf-8')


START = """
import sys
from lab.benchmarks.detection_start import start
start(*sys.argv[1:])
"""


def _run(code: str, *args: object) -> str:
    """Run code in a process of its own and return what it prints."""
    done = subprocess.run(  # noqa: S603  this module's code, no shell
        [sys.executable, '-c', code, *map(str, args)],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f'a measuring process ended with {done.returncode}: expected 0; '
            f'{done.stderr.strip().splitlines()[-1:]}'
        )
    return done.stdout
