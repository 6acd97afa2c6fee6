from __future__ import annotations

import pytest

from lab.detections import compare_detections


def detection(image=1, category=1, box=(0, 0, 10, 10), score=0.5):
    return {
        'image_id': image,
        'category_id': category,
        'bbox': list(box),
        'score': score,
    }


def test_feature_equal_in_any_order():
    boxes = [detection(), detection(box=(5, 5, 2, 2)), detection(image=2, score=0.9)]
    assert compare_detections(boxes, boxes[::-1]) == {
        'detections': 3,
        'detections_other': 3,
        'unpaired': 0,
        'max_box_difference': 0.0,
        'max_score_difference': 0.0,
    }


def test_feature_differences():
    ours = [detection(), detection(image=2, score=0.9)]
    theirs = [
        detection(box=(0, 0, 10, 13)),
        detection(image=2, score=0.7),
        detection(3),
    ]
    found = compare_detections(ours, theirs)
    assert found['max_box_difference'] == 3
    assert found['max_score_difference'] == pytest.approx(0.2)
    assert found['unpaired'] == 1


def test_feature_another_category_is_no_pair():
    assert compare_detections([detection()], [detection(category=2)])['unpaired'] == 2


def test_feature_empty():
    assert compare_detections([], [])['detections'] == 0
