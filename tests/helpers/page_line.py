"""A line with two versions, an exam, a queue and a fortnight of days: all of it drawn.

Bright scratches on dark plates; the models call the brightest spot the score. The first
version overlooks faint scratches, the second finds them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line import reference
from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote
from mmdefect.line.record import Recorder
from mmdefect.testing.textures import steel_texture
from tests.helpers.hand_package import hand_package

PRODUCT = 'plate'
THRESHOLDS = (0.8, 0.6)
SIZE = 192
#: Grey levels of scratches in the exam; 170 / 255 = 0.67 is between both thresholds.
SHADES = (170, 172, 225, 235, 245)


def plate(seed: int, shade: int | None = None) -> np.ndarray:
    """``(192, 192, 3)``, BGR: a plate, with a scratch of a grey level or without."""
    rng = np.random.default_rng(seed)
    image = np.clip(0.6 * steel_texture(rng, SIZE), 0, 110).astype(np.uint8)
    if shade is not None:
        ends = rng.uniform(0.15, 0.85, (4, 2)) * SIZE
        points = np.array([ends[0], ends[0] + (30, 12), ends[0] + (52, 40)]) % SIZE
        line = np.sort(points, axis=0).round().astype(np.int32)
        cv2.polylines(image, [line], False, float(shade), 4)
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def write(path: Path, image: np.ndarray) -> Path:
    """A PNG, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def package(folder: Path, threshold: float) -> Path:
    """A model of maps of one product."""
    made = hand_package(folder, 'maps')
    resize = {**made.input.steps[0], 'size': [SIZE, SIZE]}
    spec = ModelSpec(
        task='maps',
        classes=(PRODUCT,),
        thresholds={PRODUCT: threshold},
        calibrated=True,
    )
    given = replace(made.input, steps=(resize,), size=(SIZE, SIZE))
    replace(made, spec=spec, input=given).save(folder)
    return folder


def exam_folder(root: Path) -> Path:
    """Five scratched and six good plates as MVTec-AD has them."""
    for at, shade in enumerate(SHADES):
        write(root / PRODUCT / 'test/scratch' / f'{at}.png', plate(100 + at, shade))
    for at in range(6):
        write(root / PRODUCT / 'test/good' / f'{at}.png', plate(200 + at))
    write(root / PRODUCT / 'train/good/0.png', plate(300))
    return root


def page_line(folder: Path) -> Line:
    """The line; four of its plates wait for a verdict."""
    line = Line.create(folder / 'my_line')
    _fortnight(line)
    add_exam(line, 'plates', folder=exam_folder(folder / 'exam'), note='drawn')
    for at, threshold in enumerate(THRESHOLDS):
        promote(line, package(folder / f'package_{at}', threshold))
    model = DefectInferencer(line.package())
    recorder = Recorder(line, version=line.current())
    for at, shade in enumerate((150, 156, 240, 162, 148)):
        path = write(folder / 'photos' / f'part_{at}.png', plate(at, shade))
        result = model.predict_one(path)
        recorder.record(result, data=path.read_bytes())
    return line


def _fortnight(line: Line) -> None:
    """Days of eighty decisions; in the last three the light gets brighter."""
    rng = np.random.default_rng(0)
    start = datetime(2026, 5, 4, 6, tzinfo=timezone.utc)
    days = [start + timedelta(days=at) for at in range(14)]
    for at, day in enumerate(days):
        rows = [_decision(rng, day + timedelta(minutes=n), at) for n in range(80)]
        line.log.append_many(rows)
    first, last = (one.date().isoformat() for one in (days[0], days[6]))
    reference.keep(line, reference.of_log(line, first, last))


def _decision(rng: np.random.Generator, time: datetime, day: int) -> dict[str, Any]:
    light = 75 + 8 * max(0, day - 10)
    score = float(rng.normal(0.42, 0.05))
    return {
        'kind': 'decision',
        'version': 'v0002',
        'time': time.isoformat(),
        'source': 'camera 0',
        'product': PRODUCT,
        'decision': 'defective' if score >= THRESHOLDS[1] else 'ok',
        'score': score,
        'threshold': THRESHOLDS[1],
        'body': {
            'brightness': float(rng.normal(light, 4)),
            'sharpness': float(rng.normal(300, 30)),
        },
    }
