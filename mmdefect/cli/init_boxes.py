"""``mmdefect init boxes``: a detector of one's own classes."""

from __future__ import annotations

import argparse
import math

from mmdefect.cli.init_boxes_config import (
    MOBILENET,
    Choice,
    boxes_per_image,
    config_text,
)
from mmdefect.cli.init_images import Looked, look
from mmdefect.cli.init_plan import (
    Plan,
    file_text,
    has_gpu,
    weights_note,
)
from mmdefect.converters.importing import Converted, Imported, convert, import_boxes
from mmdefect.utils.checks import name_some

FEW_BOXES, TINY = 10, 8
"""Boxes of a class, and pixels of a side, below which there is a warning."""
WANTED_SIDE = 12
"""Pixels that nine of ten boxes are to keep of their shorter side."""
ITERATIONS = 2000
"""Least length of a training; the preset's set needs twice as many."""


def plan(args: argparse.Namespace) -> Plan:
    """Read the annotations, choose settings and write the config's text.

    Args:
        args: As :func:`mmdefect.cli.init.add_arguments` describes them.
    """
    result = Plan(args.out, args.force)
    imported = import_boxes(
        args.data,
        images=args.images,
        kind=args.format,
        classes=args.classes,
        take_unlabelled=args.take_unlabelled,
        written=result.data,
        exif=args.exif,
    )
    converted = convert(imported, val_share=args.val_share, seed=args.seed)
    result.found = [str(report) for _, report in converted.values()]
    if any(report.errors for _, report in converted.values()):
        result.errors = ['the annotations above cannot be used: correct them first']
        return result
    looked = look(imported.root, [r.file_name for r in imported.records])
    result.found += looked.found()
    choice = choose(looked, imported, converted, gpu=has_gpu())
    result.warnings = [*warnings(imported, converted, choice), *looked.warnings()]
    absent = None if choice.gpu else weights_note(MOBILENET)
    result.warnings += [absent] if absent else []
    result.files = {
        f'{subset}.json': file_text(coco) for subset, (coco, _) in converted.items()
    }
    result.config = config_text(
        args, imported, converted, choice, pretrained=absent is None
    )
    return result


def shorter_sides(imported: Imported, longer: float) -> list[float]:
    """Shorter side of each box, sorted, in images whose longer side is ``longer``."""
    return sorted(
        min(box[2] - box[0], box[3] - box[1]) * longer / max(r.width, r.height)
        for r in imported.records
        for _, box in r.objects
    )


def choose(
    looked: Looked, imported: Imported, converted: Converted, *, gpu: bool
) -> Choice:
    """Choose the size of images and the length of training.

    Images are not enlarged. They are reduced to what a CPU (640) or a GPU (1333)
    handles in a time worth waiting for, less if nine of ten boxes would fall below
    twelve pixels.

    Args:
        looked: The images.
        imported: All boxes.
        converted: The subsets.
        gpu: Whether there is one.
    """
    longer, shorter = looked.typical
    usual, most = (1333, 2000) if gpu else (640, 1280)
    chosen = min(longer, usual)
    why = 'as the images are' if chosen == longer else f'at most {usual} px'
    sides = shorter_sides(imported, longer)
    small = sides[len(sides) // 10] if sides else longer
    if chosen < longer and small * chosen / longer < WANTED_SIDE:
        enough = math.ceil(WANTED_SIDE * longer / max(small, 1))
        chosen = min(longer, most, max(chosen, enough))
        why = f'so that small boxes keep up to {WANTED_SIDE} px'
    if chosen < longer:
        chosen = max(chosen // 32, 1) * 32
    size = chosen, max(round(shorter * chosen / longer), 1)
    images = sum(
        bool(boxes) for boxes in boxes_per_image(converted['train'][0]).values()
    )
    batch = 4 if gpu or size[0] * size[1] > 300_000 else 8
    batch = max(min(batch, images // 2), 1)
    steps = math.ceil(images / batch)
    epochs = min(max(math.ceil(ITERATIONS / steps), 24), 200)
    # Of the presets: 1e-3 at 8 images with AdamW, and at 2 with SGD.
    rate = 1e-3 * batch / (2 if gpu else 8)
    return Choice(size, why, batch, epochs, float(f'{rate:.3g}'), gpu)


def warnings(imported: Imported, converted: Converted, choice: Choice) -> list[str]:
    """What is suspicious of the boxes, one sentence each."""
    found = []
    boxes = converted['train'][1].boxes
    if few := [f'{name} {n}' for name, n in boxes.items() if n < FEW_BOXES]:
        found.append(
            f'classes with fewer than {FEW_BOXES} boxes in training '
            f'({name_some(few)}): too few to learn from; annotate more, or merge kinds'
        )
    sides = shorter_sides(imported, choice.size[0])
    if tiny := sum(side < TINY for side in sides):
        found.append(
            f'{tiny} of {len(sides)} boxes are narrower than {TINY} px at '
            f'{choice.size[0]} x {choice.size[1]}: hard to find; cut the images into '
            'tiles with tools/dataset_converters/tiles.py'
        )
    if len(converted) == 1:
        found.append(
            'there is no image for validation: scores will be those of training '
            'images, which say nothing; annotate more'
        )
    return found
