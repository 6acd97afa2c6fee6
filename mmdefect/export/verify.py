"""Whether a package says what the model says that it was made of, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmdefect.deploy.backend import Backend, told
from mmdefect.deploy.decision import decide
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec
from mmdefect.utils.checks import check_range


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """By how much a package may differ.

    Args:
        scores: Of a box, or probabilities of an image.
        boxes: Of each side of a box, in pixels of the original image.
        maps: Of maps and their scores, as a share of the largest value.
    """

    scores: float = 1e-4
    boxes: float = 0.1
    maps: float = 1e-4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            check_range(f'tolerance.{name}', value, 0)


class NotEqualError(ValueError):
    """A package differs from its model by more than is allowed."""


def compare(
    model: Backend,
    package: Backend,
    images: Sequence[np.ndarray],
    *,
    tolerance: Tolerance,
) -> dict[str, Any]:
    """Show the same images to both, alone and in batches.

    Args:
        model: What the package was made of.
        package: It.
        images: Each ``(H, W, 3)``, BGR, uint8.
        tolerance: By how much they may differ.

    Returns:
        What was measured: number of ``images`` and of equal ``decisions``, the largest
        differences, and how many ``detections`` there were. Plain data.

    Raises:
        NotEqualError: They differ by more, or decide otherwise.
    """
    worst, detections = _worst(model, package, images, tolerance)
    if model.spec.routes:  # the other way through the graph
        product = model.spec.classes[-1]
        views = told(model, product), told(package, product)
        more, _ = _worst(*views, images, tolerance)
        worst = {name: max(value, more[name]) for name, value in worst.items()}
    counted = {'detections': detections} if model.spec.task == 'boxes' else {}
    return {
        'runtime': package.name,
        'images': len(images),
        'decisions_equal': len(images),
        **counted,
        'largest_difference': worst,
        'tolerance': asdict(tolerance),
    }


def _worst(
    model: Backend,
    package: Backend,
    images: Sequence[np.ndarray],
    tolerance: Tolerance,
) -> tuple[dict[str, float], int]:
    """Largest differences, and how many boxes the model has found."""
    expected = [output for image in images for output in model([image])]
    alone = [output for image in images for output in package([image])]
    # Each thrice: a graph is traced with two images, and more of one size are a batch.
    together = package([*images, *images, *images])
    worst: dict[str, float] = {}
    detections = 0
    for number, theirs in enumerate(expected):
        for ours in (alone[number], *together[number :: len(images)]):
            found = _differences(theirs, ours, tolerance, number)
            for name, value in found.items():
                worst[name] = max(worst.get(name, 0.0), value)
                _check(name, value, tolerance, number)
            _check_decision(model, theirs, ours, images[number], number)
        if isinstance(theirs, BoxOutput):
            detections += len(theirs.scores)
    return worst, detections


def _differences(
    theirs: Output, ours: Output, tolerance: Tolerance, number: int
) -> dict[str, float]:
    if isinstance(theirs, LabelOutput) and isinstance(ours, LabelOutput):
        return {'scores': _largest(theirs.probabilities - ours.probabilities)}
    if isinstance(theirs, MapOutput) and isinstance(ours, MapOutput):
        scale = max(_largest(theirs.anomaly_map), abs(theirs.score), 1e-12)
        found = _largest(theirs.anomaly_map - ours.anomaly_map) / scale
        # Of NumPy: NaN is larger than everything.
        return {'maps': float(np.max([found, abs(theirs.score - ours.score) / scale]))}
    if isinstance(theirs, BoxOutput) and isinstance(ours, BoxOutput):
        return _box_differences(theirs, ours, tolerance, number)
    raise TypeError(
        f'{type(ours).__name__}: expected {type(theirs).__name__}, as of the model'
    )


def _box_differences(
    theirs: BoxOutput, ours: BoxOutput, tolerance: Tolerance, number: int
) -> dict[str, float]:
    """Each box beside the same one of the other: equal scores may change places."""
    if len(theirs.scores) != len(ours.scores):
        raise NotEqualError(
            f'image {number + 1} has {len(theirs.scores)} boxes of the model and '
            f'{len(ours.scores)} of the package: expected the same; export from '
            'another checkpoint, or report this'
        )
    left = np.ones(len(ours.scores), bool)
    worst = {'scores': 0.0, 'boxes': 0.0}
    rows = zip(theirs.boxes, theirs.scores, theirs.labels, strict=True)
    for box, score, label in rows:
        apart = np.abs(ours.boxes - box).max(axis=1)
        close = np.abs(ours.scores - score)
        same = left & (ours.labels == label) & (close <= tolerance.scores)
        distances = np.where(same, apart, np.inf)
        best = int(distances.argmin())
        if not distances[best] <= tolerance.boxes:
            raise NotEqualError(
                f'image {number + 1}: a box of the model (label {int(label)}, score '
                f'{score:.4f}) is none of the package: expected the same; export from '
                'another checkpoint, or report this'
            )
        left[best] = False
        worst['scores'] = max(worst['scores'], float(close[best]))
        worst['boxes'] = max(worst['boxes'], float(apart[best]))
    return worst


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0))


def _check(name: str, value: float, tolerance: Tolerance, number: int) -> None:
    most = asdict(tolerance)[name]
    if not value <= most:
        raise NotEqualError(
            f'image {number + 1}: {name} of the package differ by {value:.3g}: '
            f'expected at most {most:g}; export from another checkpoint, or report this'
        )


def _check_decision(
    model: Backend, theirs: Output, ours: Output, image: np.ndarray, number: int
) -> None:
    size = (image.shape[1], image.shape[0])
    one, other = (_said(output, model.spec, size) for output in (theirs, ours))
    if one != other:
        raise NotEqualError(
            f'image {number + 1} is {_in_words(one)} for the model and '
            f'{_in_words(other)} for the package, its score lies at the threshold: '
            'expected the same; export with other images'
        )


def _said(output: Output, spec: ModelSpec, size: tuple[int, int]) -> tuple[Any, ...]:
    found = decide(output, spec, source='', size=size)
    return found.decision, found.product, found.name, found.kinds


def _in_words(said: tuple[Any, ...]) -> str:
    return ' of '.join(filter(None, said[:2]))
