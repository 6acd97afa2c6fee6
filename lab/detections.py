"""Are two lists of detections the same?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any


def compare_detections(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Compare two lists in COCO's result format, image by image.

    Detections of an image and a category are paired in the order of their scores.

    Args:
        ours: Entries with ``image_id``, ``category_id``, ``bbox`` (x, y, w, h in
            pixels) and ``score``.
        theirs: The same of the other run.

    Returns:
        ``detections`` and ``detections_other`` (their counts), ``unpaired`` (detections
        that only one list has), ``max_box_difference`` in pixels and
        ``max_score_difference`` over the pairs.
    """
    left, right = _by_image_and_category(ours), _by_image_and_category(theirs)
    unpaired, box, score = 0, 0.0, 0.0
    for key in left.keys() | right.keys():
        a, b = left.get(key, []), right.get(key, [])
        unpaired += abs(len(a) - len(b))
        for one, other in zip(a, b, strict=False):
            score = max(score, abs(one['score'] - other['score']))
            pairs = zip(one['bbox'], other['bbox'], strict=True)
            box = max(box, *(abs(x - y) for x, y in pairs))
    return {
        'detections': len(ours),
        'detections_other': len(theirs),
        'unpaired': unpaired,
        'max_box_difference': box,
        'max_score_difference': score,
    }


def _by_image_and_category(
    detections: Sequence[Mapping[str, Any]],
) -> dict[tuple[int, int], list[Mapping[str, Any]]]:
    groups: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for detection in detections:
        groups[detection['image_id'], detection['category_id']].append(detection)
    for group in groups.values():
        # Ties are ordered by the box, so that equal lists in any order stay equal.
        group.sort(key=lambda d: (-d['score'], *d['bbox']))
    return groups
