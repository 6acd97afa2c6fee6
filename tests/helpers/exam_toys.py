"""Exams and packages of a line whose answers anyone can compute by hand.

Images are of one colour, 32 x 16 pixels. The boxes of :mod:`.hand_package` stand where
the colour is: a blue one has a dent on the left, a red one a crack on the right, with
the brightness as their score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmdefect.line.folder import Line
from tests.helpers.hand_package import hand_package

LEFT, RIGHT = [2, 4, 8, 8], [20, 4, 12, 12]
CALIBRATED = {'thresholds': {'dent': 0.5, 'crack': 0.5}, 'calibrated': True}


def colour(path: Path, blue: int = 0, green: int = 0, red: int = 0) -> Path:
    """An image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((16, 32, 3), (blue, green, red), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def box_exam(
    root: Path,
    *,
    dents: int = 4,
    cracks: int = 4,
    good: int = 2,
    value: int = 250,
    extra: Sequence[str] = (),
) -> Path:
    """A COCO file of dents, cracks and good images; its path.

    Args:
        value: Brightness of all but the good ones, of which the score is a share.
        extra: Kinds of which there is no box.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kinds = ['dent'] * dents + ['crack'] * cracks + ['good'] * good
    for number, kind in enumerate(kinds, 1):
        shown = {'dent': {'blue': value}, 'crack': {'red': value}, 'good': {}}[kind]
        colour(root / f'{kind}{number:02d}.png', **shown)
        images.append(
            {
                'id': number,
                'file_name': f'{kind}{number:02d}.png',
                'width': 32,
                'height': 16,
            }
        )
        if kind != 'good':
            own = {'id': number, 'image_id': number, 'iscrowd': 0}
            own['category_id'] = 1 + (kind == 'crack')
            box = LEFT if kind == 'dent' else RIGHT
            annotations.append({**own, 'bbox': box, 'area': box[2] * box[3]})
    names = enumerate(['dent', 'crack', *extra], 1)
    categories = [{'id': number, 'name': name} for number, name in names]
    content = {'images': images, 'annotations': annotations, 'categories': categories}
    path = root / 'exam.json'
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def map_exam(root: Path, *, good: int = 4, cracks: int = 4) -> Path:
    """A product as MVTec-AD has it: good images are dark, cracked ones bright."""
    for number in range(good):
        colour(root / f'bottle/test/good/{number}.png', 20, 20, 20)
    for number in range(cracks):
        colour(root / f'bottle/test/crack/{number}.png', 200, 200, 200)
    return root


def label_exam(root: Path, number: int = 3) -> Path:
    """A folder of images a class."""
    for name in ('blue', 'green', 'red'):
        for one in range(number):
            colour(root / name / f'{one}.png', **{name: 255})
    return root


def box_package(folder: Path, **spec: Any) -> Path:
    """A detector of dents and cracks, from a score of a half on; no two are one."""
    about = {'config': folder.name}
    hand_package(folder, 'boxes', **{**CALIBRATED, 'about': about, **spec})
    return folder


def blind_package(folder: Path, **spec: Any) -> Path:
    """The same, but no crack reaches its threshold."""
    thresholds = {'dent': 0.5, 'crack': 1.0}
    return box_package(folder, thresholds=thresholds, **spec)


def boxes_line(folder: Path, **exam: Any) -> Line:
    """A line with an exam of boxes and a first version."""
    from mmdefect.line.exams import add_exam
    from mmdefect.line.promote import promote

    line = Line.create(folder / 'line')
    add_exam(line, 'frozen', annotations=box_exam(folder / 'exam', **exam))
    promote(line, box_package(folder / 'first'))
    return line
