"""Directions of points, by hand and against the plain form."""

from __future__ import annotations

import math

import pytest
import torch

from mmdefect.functional.whitening import (
    Subspace,
    fit_subspace,
    project,
    residual_distance,
)

# Variances 6 and 2/3 along the axes, around (1, 1, 5).
CROSS = torch.tensor([[4.0, 1, 5], [-2, 1, 5], [1, 2, 5], [1, 0, 5]])


def drawn(number=400, width=6):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(number, width, generator=generator)
    return points @ torch.randn(width, width, generator=generator) + 3


def test_feature_directions_by_hand():
    space = fit_subspace(CROSS, share=0.89, shrinkage=None)
    torch.testing.assert_close(space.mean, torch.tensor([1.0, 1.0, 5.0]))
    torch.testing.assert_close(space.basis.abs(), torch.tensor([[1.0], [0], [0]]))
    assert space.scale.tolist() == [1.0]
    # 6 of 6 2/3 is 90 %.
    assert fit_subspace(CROSS, share=0.91, shrinkage=None).basis.shape == (3, 2)


def test_feature_shrinkage_by_hand():
    space = fit_subspace(CROSS, share=None, shrinkage=0.07)
    mean = (6 + 2 / 3) / 3
    expected = [0.93 * value + 0.07 * mean for value in (6, 2 / 3)]
    torch.testing.assert_close(space.scale, torch.tensor(expected).rsqrt())


def test_feature_whitened_points_have_unit_covariance():
    points = drawn()
    made = project(points, fit_subspace(points, share=1.0, shrinkage=0.0))
    torch.testing.assert_close(made.T.cov(), torch.eye(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(made.mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)


def test_feature_a_direction_without_variance_is_left_out():
    """It would be noise of the float32, made as large as the others."""
    points = torch.cat([drawn(), torch.full((400, 1), 7.0)], dim=1)
    assert fit_subspace(points, share=None, shrinkage=0.0).basis.shape == (7, 6)


def test_feature_only_centred():
    space = fit_subspace(CROSS, share=None, shrinkage=None)
    assert space.basis.shape == (3, 0)
    torch.testing.assert_close(project(CROSS, space), CROSS - CROSS.mean(dim=0))


def test_feature_a_rotation_keeps_distances():
    points = drawn(50)
    made = project(points, fit_subspace(points, share=None, shrinkage=None))
    full = project(points, fit_subspace(points, share=1.0, shrinkage=None))
    one, other = ((x[:, None] - x).norm(dim=2) for x in (made, full))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_feature_residual_is_what_is_left():
    points = drawn()
    space = fit_subspace(points, share=0.8, shrinkage=0.07)
    centred = (points - space.mean).double()
    basis = space.basis.double()
    lengths = centred.square().sum(dim=1) - (centred @ basis).square().sum(dim=1)
    torch.testing.assert_close(
        residual_distance(points, space), lengths.sqrt().float(), atol=1e-4, rtol=1e-4
    )
    flat = Subspace(mean=torch.zeros(2), basis=torch.eye(2), scale=torch.ones(2))
    assert residual_distance(torch.tensor([[3.0, 4.0]]), flat).tolist() == [0.0]


@pytest.mark.parametrize(
    ('points', 'settings', 'message'),
    [
        (torch.zeros(1, 2), {}, r'^points of shape \(1, 2\): expected two finite'),
        (torch.tensor([[1.0], [math.nan]]), {}, 'expected two finite'),
        (torch.ones(5, 2), {}, r'^5 points that are all equal'),
        (CROSS, {'share': 0.0}, r'^share=0\.0: expected'),
        (CROSS, {'shrinkage': 1.5}, r'^shrinkage=1\.5: expected'),
    ],
)
def test_exception_what_cannot_be_fitted(points, settings, message):
    with pytest.raises(ValueError, match=message):
        fit_subspace(points, **settings)
