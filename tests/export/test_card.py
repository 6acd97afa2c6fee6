"""What the model card tells whoever finds a package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmdefect.export.card import comparison, model_card
from tests.helpers.hand_package import hand_package


@pytest.mark.parametrize(
    ('task', 'spec', 'said'),
    [
        (
            'boxes',
            {'default_threshold': 0.3},
            ['- dent: 0.3', 'not calibrated', 'a box'],
        ),
        (
            'boxes',
            {'thresholds': {'dent': 0.5, 'crack': 0.25}, 'calibrated': True},
            ['- crack: 0.25', 'chosen on validation images'],
        ),
        (
            'maps',
            {},
            ['## Products\n\n- bottle', 'No threshold is known', '`undecided`'],
        ),
        (
            'routed',
            {
                'thresholds': {'bottle': 1.0, 'cable': 1.0},
                'calibrated': True,
                'alarms': {'bottle': {'text': '59 good images certify 5 % at 95 %'}},
            },
            [
                '- bottle: 1 (59 good images certify 5 % at 95 %)\n- cable: 1\n',
                'an image of none of them is an `unknown product`',
            ],
        ),
        ('labels', {}, ['The likeliest class is named']),
        (
            'labels',
            {'defective': 'red', 'thresholds': {'red': 0.4}},
            ['Called a defect from these scores on (not calibrated):\n\n- red: 0.4\n'],
        ),
    ],
)
def test_feature_decision(
    task: str, spec: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    card = model_card(hand_package(tmp_path, task, **spec))
    for text in said:
        assert text in card
    assert 'Not measured.' in card
    assert '32 x 16 pixels, 3 channels in BGR order' in card


def test_feature_origin_and_parity(tmp_path: Path) -> None:
    about = {'config': 'configs/mine.py', 'step': 2, 'commit': 'abc', 'mmdefect': '1.0'}
    package = hand_package(tmp_path, 'boxes', about=about)
    parity = {
        'source': '8 images of the test set',
        'runtime': 'onnxruntime',
        'detections': 23,
        'largest_difference': {'scores': 1e-6, 'boxes': 0.01},
        'tolerance': {'scores': 1e-4, 'boxes': 0.1, 'maps': 1e-4},
    }
    card = model_card(replace(package, parity=parity))
    assert card.startswith('# mine\n')
    for text in (
        '- step of the stream: 2',
        '- commit of mmdefect: abc',
        f'- SHA-256 of model.onnx: {package.graph.sha256}',
        'On 8 images of the test set, with onnxruntime, 23 boxes: all decisions equal',
        'scores 1e-06 (allowed 0.0001), boxes 0.01 (allowed 0.1)',
        'exported by mmdefect 1.0',
    ):
        assert text in card
    assert 'WARNING' not in card


def test_feature_a_comparison_that_shows_nothing() -> None:
    """Neither boxes that nobody finds nor drawn images pass for a proof."""
    parity = {
        'source': '8 drawn images, without the test set (it is not there)',
        'runtime': 'onnxruntime',
        'detections': 0,
        'largest_difference': {'scores': 0.0, 'boxes': 0.0},
        'tolerance': {'scores': 1e-4, 'boxes': 0.1, 'maps': 1e-4},
    }
    found, boxes, drawn = comparison(parity)
    assert 'On 8 drawn images, without the test set (it is not there), with' in found
    assert boxes.startswith('WARNING: on these images neither model nor package finds')
    assert drawn.startswith('WARNING: these images are drawn')
