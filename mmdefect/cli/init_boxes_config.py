"""The config of ``mmdefect init boxes``, with its reasons in comments."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmdefect.cli.init_plan import (
    WEIGHTS,
    data_folder,
    literal,
    names_literal,
    noted,
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


_CONFIG = """\
{about}
_base_ = {base!r}

classes = {classes}
{model}

# Longer and shorter side of an image, {why}.
size = dict(type='Resize', scale=({size[0]}, {size[1]}), keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:2], size, *_base_.train_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[0], size, *_base_.test_pipeline[2:]]
images = dict(
    type='mmdefect.DefectDetDataset',
    data_root='',
    data_prefix=dict(img={root}),{exif}
    metainfo=dict(classes=classes))
# Good images, without boxes, are left out of training; they teach what is no defect
# with filter_cfg=dict(filter_empty_gt=False).
{train}
{val}
val_evaluator = dict({val_file})
{test}
del size, images

{schedule_note}
epochs = {epochs}
train_cfg = dict(max_epochs=epochs, val_interval={every})
{rate}
auto_scale_lr = dict(base_batch_size={batch})
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end={warm_up}),
    dict(
        type='CosineAnnealingLR', eta_min=0, begin=0, end=epochs, by_epoch=True,
        convert_to_iter_based=True),
]
{calibration}"""
_LOADER = """\
{name}_dataloader = dict(
    batch_size={batch},
    dataset=dict(
        images, {settings},
        pipeline={kind}_pipeline))"""
_NO_TEST = """\
# There are no images for a test alone: `mmdefect test` has nothing to look at, and
# scores are those of validation.
test_dataloader = None
test_evaluator = None
test_cfg = None"""
_RANDOM = f"""\
# Random weights, as {MOBILENET.as_posix()} was not there:
# nothing is frozen then, and batch norm learns. With the file, leave `backbone` out.
model = dict(
    backbone=dict(frozen_stages=-1, norm_eval=False, init_cfg=None),
    {{head}})"""
_RANDOM_RATE = """\
# The preset trains a pretrained backbone at a third of the rate.
optim_wrapper = dict(
    optimizer=dict(lr={rate:g}),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))"""
_CALIBRATION = """
# When training is over, thresholds are chosen on the validation images. A missed
# defect that costs ten false alarms: costs=(10, 1).
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='mmdefect.BoxCalibrationHook', costs=(1, 1))]
"""


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
    subsets = list(converted)
    val = next((s for s in ('val', 'test') if s in subsets), subsets[0])
    test = 'test' if 'test' in subsets else val
    data = data_folder(args.out)
    train_file, val_file, test_file = (
        f'ann_file={literal(data / f"{subset}.json")}'
        for subset in (subsets[0], val, test)
    )
    smallest = min(min(r.width, r.height) for r in imported.records)
    few = f', filter_cfg=dict(min_size={smallest})' if smallest < 32 else ''
    ready = choice.gpu or pretrained  # of the other one nothing is frozen
    head = f'bbox_head=dict(num_classes={len(imported.classes)})'
    tested = f'{_loader("test", choice, test_file)}\n'
    tested += f'test_evaluator = dict({test_file})'
    rate = f'optim_wrapper = dict(optimizer=dict(lr={choice.rate:g}))'
    return _CONFIG.format(
        about=_about(args, imported, converted),
        base=GPU_BASE if choice.gpu else CPU_BASE,
        classes=names_literal(imported.classes),
        model=f'model = dict({head})' if ready else _RANDOM.format(head=head),
        why=choice.why,
        size=choice.size,
        root=literal(imported.root),
        exif=f'\n    exif={args.exif!r},' if args.exif else '',
        train=_loader('train', choice, train_file + few),
        val=_loader('val', choice, val_file),
        val_file=val_file,
        test=_NO_TEST if test == val else tested,
        **_schedule(converted, choice),
        batch=choice.batch,
        rate=rate if ready else _RANDOM_RATE.format(rate=choice.rate),
        calibration=_CALIBRATION if val != subsets[0] else '',
    )


def _about(args: argparse.Namespace, imported: Imported, converted: Converted) -> str:
    images, boxes = (
        sum(len(coco[key]) for coco, _ in converted.values())
        for key in ('images', 'annotations')
    )
    return noted(
        f'A detector of {len(imported.classes)} kinds of defects: {boxes} boxes in '
        f'{images} images of {args.data.as_posix()} ({imported.format}), by mmdefect '
        'init. Paths are relative to the folder where training is started.'
    )


def _loader(name: str, choice: Choice, settings: str) -> str:
    kind = 'train' if name == 'train' else 'test'
    return _LOADER.format(name=name, batch=choice.batch, settings=settings, kind=kind)


def _schedule(converted: Converted, choice: Choice) -> dict[str, Any]:
    """Length of the training, and of its parts."""
    per_image = boxes_per_image(converted['train'][0])
    images = sum(bool(number) for number in per_image.values())
    steps = math.ceil(images / choice.batch)
    total = steps * choice.epochs
    note = (
        f'{images} images with boxes are {steps} iterations of {choice.batch} an '
        f'epoch, and {choice.epochs} epochs {total} iterations. The rate of the '
        'preset, for as many images an iteration.'
    )
    return dict(
        schedule_note=noted(note),
        epochs=choice.epochs,
        every=max(choice.epochs // 10, 1),
        warm_up=min(500 if choice.gpu else 50, max(total // 10, 1)),
    )
