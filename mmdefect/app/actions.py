"""What the page does with pictures and numbers, without a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import cv2
import numpy as np

from mmdefect.app.charts import histogram
from mmdefect.deploy.decision import decide
from mmdefect.deploy.drawing import SMALL
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.spec import ModelSpec, Task
from mmdefect.utils.image_header import SUFFIXES

#: Columns of :func:`rows`.
HEADER = ('image', 'decision', 'kind or product', 'score', 'threshold')
#: Longer side of a picture on the page, in pixels: of one among many, of one alone.
CARD, ALONE = 640, 1200
Box = tuple[float, float, float, float]


def name_of(prediction: Prediction) -> str:
    """The file of a picture without its folders."""
    return Path(prediction.source).name


def card(prediction: Prediction) -> tuple[np.ndarray, str]:
    """A drawn picture ``(h, w, 3)`` in RGB, and what stands below it."""
    said = prediction.decision if prediction.error is None else 'error'
    return drawn(prediction, CARD), f'{name_of(prediction)}: {said}'


def drawn(prediction: Prediction, side: int = ALONE) -> np.ndarray:
    """The result as a picture, ``(h, w, 3)`` in RGB.

    Args:
        prediction: That holds its picture; grey with its sentence if it is an error.
        side: Length of the longer side of larger pictures, in pixels.
    """
    if prediction.error is None:
        picture = small(prediction, side).draw()
    else:
        picture = prediction.draw(np.full((SMALL // 2, SMALL, 3), 128, np.uint8))
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def small(prediction: Prediction, side: int = CARD) -> Prediction:
    """The same result on a smaller picture: a page holds many of them.

    Args:
        prediction: That holds its picture.
        side: Length of the longer side, in pixels; what is smaller stays.
    """
    image, (width, height) = prediction.image, prediction.size
    factor = side / max(width, height, 1)
    if image is None or factor >= 1:
        return prediction
    size = max(1, round(factor * width)), max(1, round(factor * height))
    given = prediction.anomaly_map
    if given is not None:
        # The largest of the pixels that become one: no peak is lost.
        block = np.ones((math.ceil(1 / factor),) * 2, np.uint8)
        given = cv2.dilate(given, block)
        given = cv2.resize(given, size, interpolation=cv2.INTER_NEAREST)
    return replace(
        prediction,
        size=size,
        image=cv2.resize(image, size, interpolation=cv2.INTER_AREA),
        anomaly_map=given,
        boxes=prediction.boxes * np.float32(factor),
    )


def rows(predictions: Sequence[Prediction]) -> list[list[str]]:
    """A line of text a picture; see :data:`HEADER`."""
    return [
        [
            name_of(one),
            one.error or one.decision,
            _what(one),
            number(one.score),
            number(one.threshold),
        ]
        for one in predictions
    ]


def _what(prediction: Prediction) -> str:
    """Kinds that were found; of maps, which name none, the product."""
    return ', '.join(prediction.kinds) or prediction.product or '–'


def number(value: float | None) -> str:
    """Three digits that say something, an en dash for none."""
    return '–' if value is None else f'{value:.3g}'


def moved(prediction: Prediction, spec: ModelSpec) -> Prediction:
    """The same output, decided on anew by other thresholds; no model is asked."""
    output = _output_of(prediction)
    if output is None:
        return prediction
    again = decide(output, spec, source=prediction.source, size=prediction.size)
    return replace(again, image=prediction.image)


def _output_of(prediction: Prediction) -> Output | None:
    if prediction.error is not None:
        return None
    if prediction.task == 'boxes':
        return BoxOutput(
            boxes=prediction.boxes, scores=prediction.scores, labels=prediction.labels
        )
    if prediction.probabilities is not None:
        return LabelOutput(probabilities=prediction.probabilities)
    if prediction.anomaly_map is None or prediction.score is None:
        return None
    return MapOutput(
        anomaly_map=prediction.anomaly_map,
        score=prediction.score,
        product=prediction.product,
        unknown=prediction.decision == 'unknown product',
    )


def movable(spec: ModelSpec) -> dict[str, float]:
    """Thresholds that a slider can move, by class or product."""
    names = spec.classes if spec.defective is None else (spec.defective,)
    given = {name: spec.threshold_of(name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def scores_of(predictions: Sequence[Prediction], name: str) -> np.ndarray:
    """The highest score of a class, or of a product's pictures, one a picture.

    Returns:
        ``(N,)`` float32, of the pictures that have one.
    """
    found = [_score_of(one, name) for one in predictions if one.error is None]
    return np.array([value for value in found if value is not None], np.float32)


def _score_of(prediction: Prediction, name: str) -> float | None:
    if prediction.task == 'boxes':
        own = [
            s
            for s, n in zip(prediction.scores, prediction.names, strict=True)
            if n == name
        ]
        return float(max(own)) if own else None
    if prediction.task == 'maps' and prediction.product not in (None, name):
        return None
    return prediction.score


def compared(before: Prediction, after: Prediction, versions: tuple[str, str]) -> str:
    """What changed between two versions on one picture, as HTML."""
    changed = (before.decision, before.kinds) != (after.decision, after.kinds)
    verdict = 'They decide differently' if changed else 'They decide alike'
    lines = ''.join(
        f'<tr><td>{escape(version)}</td><td>{escape(one.error or one.decision)}</td>'
        f'<td>{escape(_what(one))}</td><td>{number(one.score)}</td>'
        f'<td>{number(one.threshold)}</td></tr>'
        for version, one in zip(versions, (before, after), strict=True)
    )
    head = ''.join(f'<th>{name}</th>' for name in ('version', *HEADER[1:]))
    return (
        f'<p class="big">{verdict}</p><div class="wide"><table>'
        f'<tr>{head}</tr>{lines}</table></div>'
    )


def box_of(text: str) -> Box | None:
    """A box as it is typed: x1, y1, x2, y2 in pixels; None of an empty text.

    Raises:
        ValueError: It is something else.
    """
    if not text.strip():
        return None
    try:
        x1, y1, x2, y2 = map(float, text.replace(',', ' ').split())
    except ValueError:
        raise ValueError(f'box {text!r}: {_BOX}') from None
    if not (np.isfinite([x1, y1, x2, y2]).all() and 0 <= x1 < x2 and 0 <= y1 < y2):
        raise ValueError(f'box {text!r}: {_BOX}')
    return x1, y1, x2, y2


_BOX = 'expected four numbers x1, y1, x2, y2 of pixels, the upper left corner first'


def pixel_of(
    click: Sequence[float], shape: Sequence[int], size: tuple[int, int]
) -> tuple[int, int]:
    """From a click on a drawn picture to a pixel of the original.

    Args:
        click: x and y in the drawn picture.
        shape: ``(h, w, ...)`` of the drawn picture, its line of text on top.
        size: Width and height of the original.
    """
    factor = shape[1] / size[0]
    banner = shape[0] - factor * size[1]
    x, y = click[0] / factor, (click[1] - banner) / factor
    return int(np.clip(x, 0, size[0])), int(np.clip(y, 0, size[1]))


def box_between(one: tuple[int, int], other: tuple[int, int]) -> str:
    """Two corners, in any order, as the text of a box."""
    left, right = sorted((one[0], other[0]))
    top, bottom = sorted((one[1], other[1]))
    return f'{left}, {top}, {right}, {bottom}'


def with_box(picture: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """A drawn picture with a box that somebody says is there; the picture is kept."""
    factor = picture.shape[1] / size[0]
    banner = round(picture.shape[0] - factor * size[1])
    x1, y1, x2, y2 = (round(factor * value) for value in box)
    marked = picture.copy()
    for colour, thick in (((20, 20, 20), 5), ((255, 255, 255), 2)):
        corner, far = (x1, y1 + banner), (x2, y2 + banner)
        cv2.rectangle(marked, corner, far, colour, thick, cv2.LINE_AA)
    return marked


def images_of(given: Sequence[str] | None) -> list[str]:
    """Those of some files that look like images."""
    return [name for name in given or [] if name.lower().endswith(SUFFIXES)]


def summary(done: Sequence[Prediction], total: int) -> str:
    """How many pictures of each decision there are, as HTML."""
    if not total:
        return ''
    counts = Counter('error' if one.error else one.decision for one in done)
    parts = ', '.join(f'{count} {name}' for name, count in counts.most_common())
    rest = f' of {total}' if total > len(done) else ''
    return f'<p><b>{len(done)}{rest} looked at</b>: {parts}</p>'


def scale(task: Task, at: float, *scores: np.ndarray) -> tuple[float, float]:
    """Ends of a slider: of probabilities 0 and 1; of maps where scores are."""
    if task != 'maps':
        return 0.0, 1.0
    every = np.concatenate([*scores, [at]])
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    room = 0.05 * (high - low) or 0.5 * abs(at) or 1.0
    # Two digits of the distance: ends are written beside the slider.
    digits = 1 - math.floor(math.log10(high - low + 2 * room))
    return round(low - room, digits), round(high + room, digits)


def counted(
    at: float,
    good: np.ndarray,
    bad: np.ndarray,
    seen: np.ndarray,
    *,
    ends: tuple[float, float],
) -> str:
    """Misses and false alarms of an exam at a threshold, and the chart, as HTML.

    Args:
        at: The threshold; a score equal to it is an alarm.
        good: Scores of what is no defect, sorted.
        bad: Scores of defects, sorted.
        seen: Scores of the pictures that were looked at.
        ends: Of the scale.
    """
    level = np.float32(at)
    missed = int(np.searchsorted(bad, level))
    false = len(good) - int(np.searchsorted(good, level))
    parts = []
    if len(bad) or len(good):
        parts += [
            _share(missed, len(bad), 'defects missed'),
            _share(false, len(good), 'false alarms'),
        ]
    if len(seen):
        above = int((seen >= level).sum())
        parts.append(f'alarms on {above} of the {len(seen)} looked at')
    chart = histogram(good, bad, seen, threshold=at, low=ends[0], high=ends[1])
    return f'<p class="big">{" · ".join(parts)}</p>{chart}'


def _share(count: int, total: int, what: str) -> str:
    mood = 'bad' if count else 'good'
    return f'<span class="{mood}">{count} of {total} {what}</span>'
