"""The config of ``mmdefect init boxes``, with its reasons in comments."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdefect.cli.init_plan import (
    WEIGHTS,
    comment,
    data_folder,
    literal,
    names_literal,
)
from mmdefect.converters.importing import Converted, Imported

CPU_BASE = 'mmdefect::gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py'
GPU_BASE = 'mmdefect::gfl/gfl_r50_fpn_2x_neu-det.py'
MOBILENET = WEIGHTS / 'mobilenet_v2-in1k-mmdet.pth'


@dataclass(frozen=True)
class Choice:
    """Settings that depend on the data.

    Args:
        size: Longer and shorter side that images are brought to, in pixels.
        why: Reason of the size.
        batch: Images of an iteration.
        epochs: Length of the training.
        rate: Learning rate.
        gpu: Whether for a GPU.
    """

    size: tuple[int, int]
    why: str
    batch: int
    epochs: int
    rate: float
    gpu: bool


def boxes_per_image(coco: Mapping[str, Any]) -> dict[int, int]:
    """Id of each image -> number of its boxes."""
    counts = {image['id']: 0 for image in coco['images']}
    for one in coco['annotations']:
        counts[one['image_id']] += 1
    return counts


def config_text(
    args: argparse.Namespace,
    imported: Imported,
    converted: Converted,
    choice: Choice,
    *,
    pretrained: bool,
) -> str:
    """The config.

    Args:
        args: Of the command.
        imported: All images.
        converted: The subsets.
        choice: Settings.
        pretrained: Whether weights to start from are there.
    """
    data = data_folder(args.out)
    subsets = list(converted)
    val = next((s for s in ('val', 'test') if s in subsets), subsets[0])
    test = 'test' if 'test' in subsets else val
    own = [data / f'{subset}.json' for subset in (subsets[0], val, test)]
    images = sum(len(coco['images']) for coco, _ in converted.values())
    boxes = sum(len(coco['annotations']) for coco, _ in converted.values())
    lines = [
        *comment(
            f'A detector of {len(imported.classes)} kinds of defects: {boxes} boxes in '
            f'{images} images of {args.data.as_posix()} ({imported.format}), by '
            'mmdefect init. Paths are relative to the folder where training is started.'
        ),
        f'_base_ = {(GPU_BASE if choice.gpu else CPU_BASE)!r}',
        '',
        f'classes = {names_literal(imported.classes)}',
        *_model_lines(imported, choice, pretrained=pretrained),
        '',
        *_data_lines(imported, choice, own, args.exif),
        '',
        *_schedule_lines(converted, choice, pretrained=pretrained),
        *(_calibration_lines() if len({*own}) == 3 else []),
    ]
    return '\n'.join(lines) + '\n'


def _model_lines(imported: Imported, choice: Choice, *, pretrained: bool) -> list[str]:
    number = f'bbox_head=dict(num_classes={len(imported.classes)})'
    if choice.gpu or pretrained:
        return [f'model = dict({number})']
    return [
        *comment(
            f'Random weights, as {MOBILENET.as_posix()} was not there: nothing is '
            'frozen then, and batch norm learns. With the file, leave `backbone` out.'
        ),
        'model = dict(',
        '    backbone=dict(frozen_stages=-1, norm_eval=False, init_cfg=None),',
        f'    {number})',
    ]


def _data_lines(
    imported: Imported, choice: Choice, files: Sequence[Path], exif: str | None
) -> list[str]:
    """Pipelines, loaders and evaluators; files are those of train, val and test."""
    width, height = choice.size
    train, val, test = map(literal, files)
    smallest = min(min(r.width, r.height) for r in imported.records)
    few = [f'filter_cfg=dict(min_size={smallest})'] if smallest < 32 else []
    lines = [
        *comment(f'Longer and shorter side of an image, {choice.why}.'),
        f"size = dict(type='Resize', scale=({width}, {height}), keep_ratio=True)",
        'train_pipeline = [*_base_.train_pipeline[:2], size, '
        '*_base_.train_pipeline[3:]]',
        'test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]',
        'images = dict(',
        "    type='mmdefect.DefectDetDataset',",
        "    data_root='',",
        f'    data_prefix=dict(img={literal(imported.root)}),',
        *([f'    exif={exif!r},'] if exif else []),
        '    metainfo=dict(classes=classes))',
        *comment(
            'Good images, without boxes, are left out of training; they teach what is '
            'no defect with filter_cfg=dict(filter_empty_gt=False).'
        ),
        *_loader('train', choice.batch, [f'ann_file={train}', *few]),
        *_loader('test', choice.batch, [f'ann_file={test}']),
        f'test_evaluator = dict(ann_file={test})',
    ]
    if val == test:
        own = [
            '# There are no images for test alone: scores are those of validation.',
            'val_dataloader = test_dataloader',
            'val_evaluator = test_evaluator',
        ]
    else:
        own = [
            *_loader('val', choice.batch, [f'ann_file={val}']),
            f'val_evaluator = dict(ann_file={val})',
        ]
    return [*lines, *own, 'del size, images']


def _loader(name: str, batch: int, settings: Sequence[str]) -> list[str]:
    pipeline = f'{"train" if name == "train" else "test"}_pipeline'
    return [
        f'{name}_dataloader = dict(',
        f'    batch_size={batch},',
        '    dataset=dict(',
        f'        images, {", ".join(settings)},',
        f'        pipeline={pipeline}))',
    ]


def _schedule_lines(
    converted: Converted, choice: Choice, *, pretrained: bool
) -> list[str]:
    per_image = boxes_per_image(converted['train'][0])
    images = sum(bool(number) for number in per_image.values())
    steps = math.ceil(images / choice.batch)
    total = steps * choice.epochs
    warm_up = min(500 if choice.gpu else 50, max(total // 10, 1))
    every = max(choice.epochs // 10, 1)
    return [
        *comment(
            f'{images} images with boxes are {steps} iterations of {choice.batch} an '
            f'epoch, and {choice.epochs} epochs {total} iterations. The rate of the '
            'preset, for as many images an iteration.'
        ),
        f'epochs = {choice.epochs}',
        f'train_cfg = dict(max_epochs=epochs, val_interval={every})',
        *_rate_lines(choice, pretrained=pretrained),
        f'auto_scale_lr = dict(base_batch_size={choice.batch})',
        'param_scheduler = [',
        '    dict(',
        "        type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, "
        f'end={warm_up}),',
        '    dict(',
        "        type='CosineAnnealingLR', eta_min=0, begin=0, end=epochs, "
        'by_epoch=True,',
        '        convert_to_iter_based=True),',
        ']',
    ]


def _calibration_lines() -> list[str]:
    return [
        '',
        *comment(
            'When training is over, thresholds are chosen on the validation images. '
            'A missed defect that costs ten false alarms: costs=(10, 1).'
        ),
        'custom_hooks = [',
        '    *_base_.custom_hooks,',
        "    dict(type='mmdefect.BoxCalibrationHook', costs=(1, 1))]",
    ]


def _rate_lines(choice: Choice, *, pretrained: bool) -> list[str]:
    if choice.gpu or pretrained:
        return [f'optim_wrapper = dict(optimizer=dict(lr={choice.rate:g}))']
    return [
        '# The preset trains a pretrained backbone at a third of the rate.',
        'optim_wrapper = dict(',
        f'    optimizer=dict(lr={choice.rate:g}),',
        '    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))',
    ]
