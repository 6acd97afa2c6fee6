"""A result in the words of others: plain data, COCO, LabelMe, supervision."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from mmdefect.utils.checks import visible

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction

#: What a region of an anomaly map is called.
ANOMALY = 'anomaly'
# Of the files that LabelMe writes today; it reads older and newer ones.
LABELME_VERSION = '5.5.0'


class Shape(NamedTuple):
    """Something that was found, with its place.

    Attributes:
        name: Its class.
        label: Index of the class; 0 of a region of a map.
        score: Of the box, or the largest value of the map in the region.
        box: x1, y1, x2, y2 in pixels.
        outline: ``(N, 2)``, x and y in pixels; None of a box.
    """

    name: str
    label: int
    score: float
    box: list[float]
    outline: np.ndarray | None = None


def shapes_of(prediction: Prediction, *, everything: bool = False) -> list[Shape]:
    """What was found: boxes, or regions of the map from its threshold on.

    Args:
        everything: Boxes below their threshold, too.
    """
    if prediction.task == 'maps':
        return regions(prediction.anomaly_map, prediction.threshold)
    keep = prediction.is_defect | everything
    return [
        Shape(
            prediction.names[at],
            int(prediction.labels[at]),
            float(prediction.scores[at]),
            [float(value) for value in prediction.boxes[at]],
        )
        for at in np.flatnonzero(keep)
    ]


def regions(anomaly_map: np.ndarray | None, threshold: float | None) -> list[Shape]:
    """Connected pixels of a map from a threshold on, the highest first.

    Args:
        anomaly_map: ``(H, W)``.
        threshold: Nothing is found without one.
    """
    if anomaly_map is None or threshold is None:
        return []
    inside = (anomaly_map >= threshold).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = [_region(anomaly_map, outline[:, 0]) for outline in outlines]
    return sorted(found, key=lambda shape: -shape.score)


def _region(anomaly_map: np.ndarray, outline: np.ndarray) -> Shape:
    x, y, width, height = cv2.boundingRect(outline)
    patch = np.zeros((height, width), np.uint8)
    cv2.drawContours(patch, [outline - (x, y)], -1, 1, cv2.FILLED)
    values = anomaly_map[y : y + height, x : x + width][patch > 0]
    box = [float(x), float(y), float(x + width), float(y + height)]
    if len(outline) < 3:  # of a few pixels: an outline needs an area
        left, top, right, bottom = box
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        outline = np.array(corners)
    return Shape(ANOMALY, 0, float(values.max()), box, outline)


def to_dict(prediction: Prediction, *, everything: bool = False) -> dict[str, Any]:
    """Plain data; see :meth:`mmdefect.deploy.result.Prediction.to_dict`."""
    from mmdefect.deploy.result import NOT_CALIBRATED

    found: dict[str, Any] = {
        'source': prediction.source,
        'task': prediction.task,
        'size': list(prediction.size),
        'decision': prediction.decision,
        'calibrated': prediction.calibrated,
        'score': number(prediction.score),
        'threshold': number(prediction.threshold),
    }
    doubt = None if prediction.calibrated else NOT_CALIBRATED
    told = (prediction.unrecorded, doubt, prediction.evidence)
    if notes := [note for note in told if note]:
        found['note'] = '; '.join(notes)
    if prediction.error is not None:
        return {**found, 'error': prediction.error}
    if prediction.task == 'boxes':
        found['boxes'] = _boxes(prediction, everything)
    elif prediction.task == 'labels':
        found |= {'label': prediction.label, 'name': prediction.name}
        found['probability'] = number(prediction.probability)
        if everything and prediction.probabilities is not None:
            found['probabilities'] = [*map(number, prediction.probabilities.tolist())]
    else:
        found['product'] = prediction.product
        found['map'] = _map(prediction)
    return found


def number(value: float | None) -> float | None:
    """A number that JSON has: NaN and infinity are none."""
    return None if value is None or not math.isfinite(value) else float(value)


def _boxes(prediction: Prediction, everything: bool) -> list[dict[str, Any]]:
    return [
        {
            'box': [round(float(value), 2) for value in prediction.boxes[at]],
            'name': prediction.names[at],
            'label': int(prediction.labels[at]),
            'score': number(prediction.scores[at]),
            'threshold': number(prediction.thresholds[at]),
            'is_defect': bool(prediction.is_defect[at]),
        }
        for at in np.flatnonzero(prediction.is_defect | everything)
    ]


def _map(prediction: Prediction) -> dict[str, Any] | None:
    if prediction.anomaly_map is None:
        return None
    regions_found = shapes_of(prediction)
    return {
        'max': number(float(np.max(prediction.anomaly_map, initial=0))),
        'regions': [
            {'box': shape.box, 'max': number(shape.score)} for shape in regions_found
        ],
    }


def to_coco(
    prediction: Prediction,
    *,
    image_id: int = 1,
    category_ids: Mapping[str, int] | None = None,
    everything: bool = False,
) -> list[dict[str, Any]]:
    """Detections; see :meth:`mmdefect.deploy.result.Prediction.to_coco`."""
    _check_shapes(prediction, 'to_coco')
    found = []
    for shape in shapes_of(prediction, everything=everything):
        if category_ids is not None and shape.name not in category_ids:
            raise ValueError(
                f'category_ids={dict(category_ids)}: expected an id of {shape.name!r}; '
                'add it'
            )
        x1, y1, x2, y2 = shape.box
        ids = category_ids or {}
        entry = {
            'image_id': image_id,
            'category_id': ids.get(shape.name, shape.label + 1),
            'bbox': [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
            'score': round(shape.score, 5),
        }
        if shape.outline is not None:
            entry['segmentation'] = [shape.outline.astype(float).ravel().tolist()]
        found.append(entry)
    return found


def to_labelme(prediction: Prediction, *, everything: bool = False) -> dict[str, Any]:
    """A LabelMe file; see :meth:`mmdefect.deploy.result.Prediction.to_labelme`."""
    _check_read(prediction, 'to_labelme')
    flags = {prediction.name: True} if prediction.name else {}
    return {
        'version': LABELME_VERSION,
        'flags': flags,
        'shapes': [
            _labelme_shape(shape)
            for shape in shapes_of(prediction, everything=everything)
        ],
        'imagePath': PurePath(prediction.source).name,
        'imageData': None,
        'imageHeight': prediction.size[1],
        'imageWidth': prediction.size[0],
    }


def _labelme_shape(shape: Shape) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box
    points: Sequence[Any] = [[x1, y1], [x2, y2]]
    kind = 'rectangle'
    if shape.outline is not None:
        points, kind = shape.outline.astype(float).tolist(), 'polygon'
    return {
        'label': shape.name,
        'points': points,
        'group_id': None,
        'description': f'score {shape.score:.3f}',
        'shape_type': kind,
        'flags': {},
    }


def to_supervision(prediction: Prediction, *, everything: bool = False) -> Any:
    """Detections; see :meth:`mmdefect.deploy.result.Prediction.to_supervision`."""
    _check_shapes(prediction, 'to_supervision')
    try:
        import supervision
    except ImportError:
        raise ImportError(
            'to_supervision needs a package: run `pip install supervision`'
        ) from None
    shapes = shapes_of(prediction, everything=everything)
    if not shapes:
        return supervision.Detections.empty()
    masks = None
    if prediction.task == 'maps':
        width, height = prediction.size
        masks = np.stack([_filled(shape, (height, width)) for shape in shapes])
    return supervision.Detections(
        xyxy=np.array([shape.box for shape in shapes], np.float32),
        mask=masks,
        confidence=np.array([shape.score for shape in shapes], np.float32),
        class_id=np.array([shape.label for shape in shapes]),
        data={'class_name': np.array([shape.name for shape in shapes])},
    )


def _filled(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, np.uint8)
    if shape.outline is not None:
        outline = shape.outline.astype(np.int32)
        cv2.drawContours(mask, [outline], -1, 1, cv2.FILLED)
    return mask > 0


def _check_shapes(prediction: Prediction, form: str) -> None:
    _check_read(prediction, form)
    if prediction.task == 'labels':
        raise ValueError(
            f'{form} of a result with task={prediction.task!r}: expected boxes or maps,'
            ' a class has no place; use to_dict() or to_labelme()'
        )


def _check_read(prediction: Prediction, form: str) -> None:
    if prediction.error is not None:
        raise ValueError(
            f'{form} of {_seen(prediction.source)}: expected a result, there is an '
            f'error ({prediction.error}); ask .error first'
        )


def in_a_line(prediction: Prediction) -> str:
    """The result for a terminal."""
    if prediction.error is not None:
        return f'{_seen(prediction.source)}: error, {_seen(prediction.error)}'
    return f'{_seen(prediction.source)}: {summary(prediction)}'


def _seen(text: str) -> str:
    """Text for a terminal, whole; a name may hold what moves the cursor."""
    return '/'.join(map(visible, text.split('/')))


def summary(prediction: Prediction) -> str:
    """Decision, what was found, and what that was compared with."""
    from mmdefect.deploy.result import NOT_CALIBRATED

    # First, because a long line is cut.
    doubt = '' if prediction.calibrated else f' ({NOT_CALIBRATED})'
    parts = [f'{prediction.decision}{doubt}', *_found(prediction)]
    if prediction.score is not None:
        parts.append(f'score {prediction.score:.3g}')
    if prediction.threshold is not None:
        parts.append(f'threshold {prediction.threshold:.3g}')
    if prediction.product is not None:
        parts.append(f'product {prediction.product}')
    if prediction.unrecorded is not None:
        parts.append(prediction.unrecorded)
    return _seen(', '.join(parts))


def _found(prediction: Prediction) -> list[str]:
    if prediction.task == 'labels':
        return [f'{prediction.name} {100 * (prediction.probability or 0):.0f} %']
    meets = prediction.is_defect
    return [
        f'{sum(n == name for n, m in zip(prediction.names, meets, strict=True) if m)} '
        f'{name}'
        for name in (prediction.kinds if prediction.task == 'boxes' else ())
    ]
