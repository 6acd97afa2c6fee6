"""Saliency localisation on maps of 4 x 4 pixels, by hand."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional.saliency import (
    energy,
    iop,
    iou,
    pointing_game,
    salient_region,
)

# Largest value 10: above 0.4 are the four pixels with 10, 6, 5 and 8.
MAP = torch.tensor(
    [
        [10.0, 6.0, 0.0, 0.0],
        [5.0, 4.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 8.0],
        [0.0, 0.0, 2.0, 0.0],
    ]
)
# Three pixels: two of the four, and one of value 4.
MASK = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
NOTHING = torch.zeros(4, 4)
ALL = [
    lambda saliency, mask: iou(saliency, mask, 0.4),
    lambda saliency, mask: iop(saliency, mask, 0.4),
    pointing_game,
    energy,
]


def test_smoke() -> None:
    assert salient_region(MAP, 0.4).sum() == 4  # 4 itself is not above 0.4 of 10
    assert iou(MAP, MASK, 0.4).item() == 2 / 5
    assert iop(MAP, MASK, 0.4).item() == 2 / 4
    assert pointing_game(MAP, MASK).item() == 1
    assert energy(MAP, MASK).item() == pytest.approx(20 / 35)


def test_feature_threshold() -> None:
    assert iou(MAP, MASK, 0.0).item() == 3 / 6
    assert iop(MAP, MASK, 0.0).item() == 3 / 6
    # Above 0.55: 10, 6, 8.
    assert iou(MAP, MASK, 0.55).item() == 2 / 4
    assert iop(MAP, MASK, 0.55).item() == pytest.approx(2 / 3)
    assert iop(MAP, MASK, 0.9).item() == 1


@pytest.mark.parametrize('metric', ALL)
def test_feature_scale_does_not_matter(metric) -> None:
    assert metric(MAP / 64, MASK) == metric(MAP, MASK)
    assert metric(MAP.double(), 255 * MASK.bool()) == metric(MAP, MASK)


@pytest.mark.parametrize('metric', ALL)
def test_feature_perfect_and_opposite(metric) -> None:
    assert metric(MASK.float(), MASK).item() == 1
    assert metric(1 - MASK.float(), MASK).item() == 0


@pytest.mark.parametrize('metric', ALL)
@pytest.mark.parametrize(
    ('saliency', 'mask'),
    [(NOTHING, MASK), (MAP, NOTHING), (NOTHING, NOTHING)],
    ids=['empty prediction', 'empty mask', 'both empty'],
)
def test_feature_empty_scores_nothing(metric, saliency, mask) -> None:
    found = metric(saliency, mask)
    assert found.dtype == torch.float64
    assert found.shape == ()
    assert found.item() == 0


def test_feature_empty_prediction_is_empty() -> None:
    assert not salient_region(NOTHING, 0.0).any()
    assert salient_region(NOTHING + 1, 0.9).all()


def test_feature_several_peaks_count_in_part() -> None:
    saliency = NOTHING.clone()
    saliency[0, 0] = saliency[0, 3] = saliency[3, 3] = 2
    assert pointing_game(saliency, MASK).item() == pytest.approx(1 / 3)
    assert pointing_game(NOTHING + 1, MASK).item() == 3 / 16


def test_feature_tolerance() -> None:
    """The peak is two columns right of the defect, then two more rows below."""
    saliency = NOTHING.clone()
    saliency[1, 3] = 1
    assert pointing_game(saliency, MASK).item() == 0
    assert pointing_game(saliency, MASK, tolerance=1.9).item() == 0
    assert pointing_game(saliency, MASK, tolerance=2).item() == 1
    diagonal = NOTHING.clone()
    diagonal[3, 3] = 1  # sqrt(8) from (1, 1)
    assert pointing_game(diagonal, MASK, tolerance=2.8).item() == 0
    assert pointing_game(diagonal, MASK, tolerance=2.9).item() == 1


@pytest.mark.parametrize('metric', ALL)
def test_exception(metric) -> None:
    with pytest.raises(ValueError, match=r'mask.shape=\(4, 3\)'):
        metric(MAP, MASK[:, :3])
    for saliency, message in (
        (MAP[None], r'shape \(1, 4, 4\)'),
        (MAP.long(), 'int64'),
        (MAP - 9, 'from -9'),
        (MAP * float('nan'), 'nan'),
        (MAP + float('inf'), 'inf'),
    ):
        with pytest.raises(ValueError, match=message):
            metric(saliency, MASK.expand(saliency.shape))


def test_exception_settings() -> None:
    for threshold in (1.0, -0.1, float('nan')):
        with pytest.raises(ValueError, match=r'threshold=.* less than 1'):
            iou(MAP, MASK, threshold)
    with pytest.raises(ValueError, match='tolerance=-1'):
        pointing_game(MAP, MASK, tolerance=-1)
