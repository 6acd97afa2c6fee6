from __future__ import annotations

import pytest
import torch

from mmdefect.functional.competition import compete


def test_feature_two_steps() -> None:
    """New score times what the best old score leaves."""
    scores = torch.tensor([[0.8, 0.1, 0.5, 0.9], [0.0, 0.0, 0.5, 0.9]])
    found = compete(scores, [2, 2])
    expected = torch.tensor([[0.8, 0.1, 0.1, 0.18], [0.0, 0.0, 0.5, 0.9]])
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[:, :2], scores[:, :2])  # to the last bit


def test_feature_three_steps() -> None:
    """Each earlier step takes its share, by what it says itself."""
    scores = torch.tensor([0.5, 0.2, 0.6, 0.8, 0.4])
    found = compete(scores, [2, 1, 2])
    # 0.6 (1 - 0.5); 0.8 (1 - 0.5)(1 - 0.6); 0.4 (1 - 0.5)(1 - 0.6)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.2, 0.3, 0.16, 0.08]))


@pytest.mark.parametrize(
    ('power', 'expected'), [(0.0, 0.6), (0.5, 0.3), (1.0, 0.15), (2.0, 0.0375)]
)
def test_feature_power(power: float, expected: float) -> None:
    found = compete(torch.tensor([0.75, 0.6]), [1, 1], power=power)
    assert found.tolist() == pytest.approx([0.75, expected])


def test_feature_certain_scores() -> None:
    """Nothing is left beside a score of 1, and all beside 0."""
    found = compete(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), [1, 1])
    assert found.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_shape_any_leading() -> None:
    scores = torch.rand(2, 7, 5)
    found = compete(scores, [3, 2])
    assert found.shape == (2, 7, 5)
    assert (found <= scores).all()
    assert torch.equal(compete(scores, [5]), scores)


def test_exception_other_classes() -> None:
    with pytest.raises(ValueError, match=r'step_sizes=\[3, 1\]: expected 5 together'):
        compete(torch.rand(4, 5), [3, 1])


@pytest.mark.parametrize('power', [-1.0, float('nan')])
def test_exception_power(power: float) -> None:
    with pytest.raises(ValueError, match=r'power=.*: expected at least 0'):
        compete(torch.rand(2), [1, 1], power=power)
