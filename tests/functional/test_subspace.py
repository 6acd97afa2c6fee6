"""Directions that the past used, against torch's SVD and numbers by hand."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional.subspace import (
    gram,
    singular_values,
    suppression_matrix,
    suppression_weights,
    tail_below,
    tail_beyond,
)


def rows(number, channels=256, seed=0):
    """Rows of clearly different strength in every direction."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(number, channels, generator=generator, dtype=torch.float64)
    return found * torch.linspace(3, 0.3, channels, dtype=torch.float64)


class TestGram:
    def test_feature_steps_add_up(self):
        found = rows(40, 8)
        parts = gram(found[:13]) + gram(found[13:13]) + gram(found[13:])
        torch.testing.assert_close(parts, found.T @ found)


class TestWeights:
    def test_feature_specification(self):
        """IUF: ln(c) / ln(256), c from 1."""
        weights = suppression_weights(256)
        expected = [0.0, 0.125, 0.198, 0.290, 0.415, 0.625, 0.875, 1.0]
        ranks = torch.tensor([1, 2, 3, 5, 10, 32, 128, 256])
        assert weights[ranks - 1].tolist() == pytest.approx(expected, abs=5e-4)

    @pytest.mark.parametrize('size', [0, 1])
    def test_exception_one_direction(self, size):
        with pytest.raises(ValueError, match=rf'^size={size}: expected at least 2'):
            suppression_weights(size)


class TestMatrix:
    def test_feature_symmetric_and_between_zero_and_one(self):
        matrix = suppression_matrix(gram(rows(400)))
        torch.testing.assert_close(matrix, matrix.T, atol=1e-12, rtol=0)
        values = torch.linalg.eigvalsh(matrix)
        assert values.min() > -1e-12
        assert values.max() < 1 + 1e-12
        # The weakest that is left is ln 2 / ln 256.
        assert int((values > 0.1).sum()) == 255

    def test_feature_the_strongest_direction_is_frozen(self):
        found = rows(400)
        first = torch.linalg.svd(found).Vh[0]
        spared = suppression_matrix(gram(found)) @ first
        assert spared.norm() < 1e-10

    @pytest.mark.parametrize('number', [400, 256, 230, 60, 1])
    def test_feature_equals_the_svd_of_the_rows(self, number):
        """Also with fewer rows than channels; what no row has used is free."""
        found = rows(number)
        vectors = torch.linalg.svd(found, full_matrices=True).Vh.T
        weights = suppression_weights(256)
        weights[number:] = 1
        expected = vectors @ torch.diag(weights) @ vectors.T
        torch.testing.assert_close(
            suppression_matrix(gram(found)), expected, atol=1e-9, rtol=0
        )

    def test_feature_no_past_spares_nothing(self):
        matrix = suppression_matrix(gram(torch.zeros(4, 6)))
        torch.testing.assert_close(matrix, torch.eye(6, dtype=torch.float64))

    def test_exception_not_a_gram_matrix(self):
        with pytest.raises(ValueError, match=r'\(3, 4\): expected .* \(D, D\)'):
            suppression_matrix(torch.zeros(3, 4))
        with pytest.raises(ValueError, match='finite'):
            suppression_matrix(torch.full((3, 3), torch.nan))


class TestSingularValues:
    @pytest.mark.parametrize('shape', [(9, 4), (4, 9), (3, 7, 5), (1, 5)])
    def test_feature_equals_torch(self, shape):
        found = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(
            singular_values(found), torch.linalg.svdvals(found.double())
        )

    @pytest.mark.parametrize('tail', ['index', 'share'])
    def test_gradcheck(self, tail):
        generator = torch.Generator().manual_seed(2)
        found = torch.randn(6, 4, generator=generator, dtype=torch.float64)
        found.requires_grad_()

        def loss(values):
            return (
                tail_beyond(values, 2) if tail == 'index' else tail_below(values, 0.2)
            )

        assert float(loss(singular_values(found))) > 0
        assert torch.autograd.gradcheck(lambda x: loss(singular_values(x)), found)
        (ours,) = torch.autograd.grad(loss(singular_values(found)), found)
        (torchs,) = torch.autograd.grad(loss(torch.linalg.svdvals(found)), found)
        torch.testing.assert_close(ours, torchs)

    @pytest.mark.parametrize('kind', ['zero', 'equal', 'a zero row'])
    def test_feature_gradient_is_finite(self, kind):
        """Where torch's own SVD has an infinite or undefined gradient."""
        found = torch.zeros(6, 4) if kind == 'zero' else torch.ones(6, 4)
        if kind == 'a zero row':
            found[2] = 0
        found.requires_grad_()
        tail_beyond(singular_values(found), 1).backward()
        assert found.grad.isfinite().all()


class TestTails:
    def test_feature_nothing_has_no_tail(self):
        assert tail_below(torch.zeros(3), 0.5) == 0
