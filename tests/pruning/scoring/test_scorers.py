"""What each scorer likes, on maps that are drawn by hand."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import TASK_UTILS

from mmdefect.functional import filter_score
from mmdefect.pruning.scoring.scorers import (
    L1Norm,
    MaskedTaylor,
    RandomScore,
    Seen,
    SegContrast,
    SegIoU,
    Taylor,
    shrink_bilinear,
)

# The object is the upper left quarter of an 8 x 8 image; maps are 4 x 4.
MASK = torch.zeros(1, 8, 8, dtype=torch.uint8)
MASK[:, :4, :4] = 255
ON, OFF, ALL, NONE = (torch.zeros(4, 4) for _ in range(4))
ON[:2, :2] = 3.0
OFF[2:, 2:] = 3.0
ALL[:] = 3.0
MAPS = torch.stack([ON, OFF, ALL, NONE])[None]
ALL_SCORERS = [
    'SegIoU',
    'SegContrast',
    'MaskedTaylor',
    'Taylor',
    'L1Norm',
    'RandomScore',
]


def seen(maps=MAPS, gradient=None, mask=MASK, weight=None):
    weight = torch.zeros(maps.shape[1], 3) if weight is None else weight
    return Seen(weight=weight, activation=maps, gradient=gradient, mask=mask)


def score(scorer, *args, seed=0, **kwargs):
    return scorer(seen(*args, **kwargs), torch.Generator().manual_seed(seed))


class TestOverlap:
    @pytest.mark.parametrize('active', ['legacy', 'positive', 'soft'])
    def test_feature_iou(self, active):
        found = score(SegIoU(active=active))
        torch.testing.assert_close(found, torch.tensor([[1, 0, 0.25, 0]]).double())

    def test_feature_quantile(self):
        """Only the strongest pixels count: a weak response everywhere is no fault."""
        weak = ON + 0.5
        found = score(SegIoU(active='quantile', quantile=0.75), weak[None, None])
        assert found.item() == 1
        assert score(SegIoU(active='positive'), weak[None, None]).item() == 0.25

    def test_feature_legacy_is_the_release(self):
        """Activations below 1 are none, and 256 is 0 in a byte."""
        levels = torch.tensor([0.9, 1.0, 256.0, 257.0])[None, :, None, None]
        maps = levels * (ON / 3)
        found = score(SegIoU(active='legacy'), maps)
        assert found.tolist() == [[0, 1, 0, 1]]

    def test_feature_contrast(self):
        found = score(SegContrast())
        # Means of 3 and 0 inside and outside over a deviation of 3 sqrt(3) / 4.
        assert found[0, 0].item() == pytest.approx(4 / 3**0.5)
        assert found[0, 1].item() == pytest.approx(-4 / 3**0.5 / 3)
        assert found[0, 2:].tolist() == [0, 0]

    def test_feature_thin_objects_survive(self):
        """One pixel of 64 is one of 16 at the map's size."""
        mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
        mask[0, 5, 3] = 255
        share = seen(mask=mask).share()
        assert share.shape == (1, 4, 4)
        assert share.sum() == share[0, 2, 1] == 1

    def test_feature_image_by_image(self):
        maps = torch.cat([MAPS, MAPS.flip(1)])
        found = score(SegIoU(active='positive'), maps, mask=MASK.repeat(2, 1, 1))
        assert found.tolist() == [[1, 0, 0.25, 0], [0, 0.25, 0, 1]]


class TestGradients:
    GRADIENT = torch.tensor([1.0, -2.0, 0.5, 9.0])[None, :, None, None].expand(
        1, 4, 4, 4
    )

    def test_feature_taylor(self):
        found = score(Taylor(), gradient=self.GRADIENT)
        expected = filter_score.taylor(MAPS, self.GRADIENT)
        assert torch.equal(found, expected)
        assert found[0, 3] == 0

    def test_feature_masked_taylor(self):
        """What a filter does beside the object does not count."""
        found = score(MaskedTaylor(), gradient=self.GRADIENT)[0]
        assert found[0] > 0
        assert found[1] == found[3] == 0
        # All pixels of the third, half the gradient, the object's share of them.
        torch.testing.assert_close(found[2], found[0] / 2)

    def test_exception_without_gradients(self):
        for scorer in (Taylor(), MaskedTaylor()):
            assert scorer.needs_gradient
            with pytest.raises(RuntimeError, match='gradient=None: expected gradients'):
                score(scorer)


class TestBaselines:
    def test_feature_l1(self):
        weight = torch.tensor([[[1.0, -2.0]], [[0.5, 0.0]]])
        assert score(L1Norm(), weight=weight).tolist() == [[3, 0.5]]

    def test_feature_random(self):
        one, again = score(RandomScore()), score(RandomScore())
        assert one.shape == (1, 4)
        assert torch.equal(one, again)
        assert not torch.equal(one, score(RandomScore(), seed=1))

    def test_feature_look_at_no_images(self):
        for scorer in (L1Norm(), RandomScore()):
            assert not scorer.needs_maps
            assert not scorer.needs_mask
            assert not scorer.needs_gradient


class TestBuild:
    @pytest.mark.parametrize('name', ALL_SCORERS)
    def test_smoke(self, name):
        scorer = TASK_UTILS.build({'type': f'mmdefect.{name}'})
        found = score(scorer, gradient=torch.ones_like(MAPS))
        assert found.shape == (1, 4)
        assert found.dtype == torch.float64

    def test_exception(self):
        for quantile in (0.0, 1.0, -0.1, 90):
            with pytest.raises(ValueError, match='more than 0 and less than 1'):
                SegIoU(quantile=quantile)
        with pytest.raises(ValueError, match=r"^active='otsu': expected one of leg"):
            SegIoU(active='otsu')
        with pytest.raises(TypeError, match='quantil'):
            SegIoU(quantil=0.5)


def test_feature_shrink_bilinear_golden():
    """OpenCV's values, which lie between 0 and 255 at the rim.

    >>> mask = np.zeros((6, 6), np.uint8); mask[:, 2:4] = 255
    >>> cv2.resize(mask, (4, 2))[0]
    array([  0, 191, 191,   0], dtype=uint8)
    """
    mask = torch.zeros(1, 6, 6, dtype=torch.uint8)
    mask[:, :, 2:4] = 255
    found = shrink_bilinear(mask, (2, 4))
    assert found.dtype == torch.uint8
    assert found.tolist() == [[[0, 191, 191, 0]] * 2]
