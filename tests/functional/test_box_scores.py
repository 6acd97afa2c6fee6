from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmdefect.functional.box_scores import fit_classes, fit_scale_offset


def row(score: float, number: int, hits: int) -> tuple[Tensor, Tensor]:
    scores = torch.full((number,), score, dtype=torch.float64)
    return scores, torch.arange(number) < hits


def test_feature_a_class_that_says_too_much() -> None:
    """Half of 0.9 and a tenth of 0.5 hit: without a pull, exactly that is said."""
    parts = [row(0.9, 100, 50), row(0.5, 100, 10)]
    scores, hits = (torch.cat(part) for part in zip(*parts, strict=True))
    a, b = fit_scale_offset(scores, hits, strength=0.0)
    # a * ln 9 + b = 0 and b = ln(1 / 9)
    assert (a, b) == pytest.approx((1.0, -math.log(9)), rel=1e-6)


def test_feature_few_boxes_move_little() -> None:
    """One box of score 0.5 that does not hit: b solves sigmoid(b) + b = 0."""
    a, b = fit_scale_offset(*row(0.5, 1, 0))
    assert a == pytest.approx(1.0)
    assert 1 / (1 + math.exp(-b)) + b == pytest.approx(0, abs=1e-9)
    assert b == pytest.approx(-0.4011, abs=1e-4)


def test_feature_separable_stays_finite() -> None:
    scores = torch.tensor([0.9, 0.8, 0.2, 0.1])
    a, b = fit_scale_offset(scores, torch.tensor([1, 1, 0, 0]))
    assert 1 < a < 5
    assert b == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('scores', [[], [0.9, 0.1] * 50])
def test_feature_nothing_to_say(scores: list[float]) -> None:
    """Without boxes; and where the surer ones are the wrong ones."""
    given = torch.tensor(scores)
    assert fit_scale_offset(given, given < 0.5) == (1.0, 0.0)


def test_feature_extreme_scores() -> None:
    a, b = fit_scale_offset(torch.tensor([0.0, 1.0]), torch.tensor([0, 1]))
    assert math.isfinite(a)
    assert math.isfinite(b)


def test_feature_classes_of_images() -> None:
    """Ignored boxes count neither way; a class without boxes stays as it is."""
    box = torch.tensor([[0.0, 0, 9, 9], [50, 50, 59, 59], [80, 80, 89, 89]])
    found = (box, torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0, 0, 0]))
    truth = (box[[0, 2]], torch.tensor([0, 0]), torch.tensor([False, True]))
    fitted = fit_classes([found], [truth], classes=2)
    assert fitted[1].tolist() == [1.0, 0.0]
    one_of_two = torch.tensor([0.5, 0.5]), torch.tensor([1, 0])
    assert fitted[0].tolist() == pytest.approx(fit_scale_offset(*one_of_two))


def test_exception_scores() -> None:
    with pytest.raises(ValueError, match='expected'):
        fit_scale_offset(torch.tensor([1.5]), torch.tensor([1]))
    with pytest.raises(ValueError, match='expected'):
        fit_scale_offset(torch.tensor([0.5]), torch.tensor([1, 0]))
