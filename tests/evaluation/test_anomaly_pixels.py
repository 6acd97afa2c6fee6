"""Regions, resized maps and the two rankings of a product's pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from mmdefect.evaluation import anomaly_pixels
from mmdefect.evaluation.anomaly_pixels import (
    ImageRecord,
    PixelHistograms,
    rank_pixels,
    region_names,
)


def record(pixels, mask=None) -> ImageRecord:
    return ImageRecord(
        product='bottle',
        label=int(mask is not None),
        score=1.0,
        pixels=torch.tensor(pixels),
        mask=None if mask is None else torch.tensor(mask, dtype=torch.bool),
    )


# Two regions of the second image, in three pixels; the first is larger and normal.
IMAGES = [
    record([[0.25, 0.5, 0.25, 0.125]] * 2),
    record([[0.75, 0.5, 0.25, 1.0]], [[1, 1, 0, 1]]),
]


def test_smoke_both_rankings_are_the_same() -> None:
    exact = rank_pixels(IMAGES, align_corners=True)
    histograms = PixelHistograms(2)
    for image in IMAGES:
        histograms.add(1, image, align_corners=True)
    counted = histograms.ranking(1)
    for ranking in (exact, counted):
        assert ranking.defects.tolist() == [1, 1, 1]
        assert ranking.above.tolist() == [0, 0, 0]
        assert ranking.until.tolist() == [0, 0, 2]
        assert ranking.num_normals == 9
        share = ranking.weights.double() / ranking.weights.sum()
        torch.testing.assert_close(share, torch.tensor([0.5, 0.25, 0.25]).double())
    assert not histograms.ranking(0).is_defined
    assert histograms.counts[0].sum() == 0


def named(mask) -> torch.Tensor:
    """The mask with the number of the region in place of every defect pixel."""
    regions = torch.zeros(mask.shape, dtype=torch.int32)
    places = np.flatnonzero(mask.numpy())
    regions.view(-1)[places] = torch.from_numpy(region_names(mask.numpy(), places))
    return regions


def test_feature_corners_connect() -> None:
    mask = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]])
    regions = named(mask.bool())
    assert regions[mask != 0].ne(0).all()
    assert regions.unique().tolist() == [0, 1, 2, 3]
    assert regions[0, 0] == regions[1, 1] != regions[0, 3] == regions[1, 3]
    assert regions[3, 0] == regions[3, 1]


def test_shape_no_defect_has_no_places() -> None:
    assert IMAGES[0].defects() is None
    assert record([[0.5]], [[0]]).defects() is None
    places, sizes = IMAGES[1].defects()
    assert places.tolist() == [0, 1, 3]
    assert sizes.tolist() == [2, 2, 1]


def test_feature_regions_wherever_they_are() -> None:
    """Only the rows that have defects are looked at, also at a border."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(9, 7, generator=generator) < 0.3
    _, expected = cv2.connectedComponents(mask.numpy().astype(np.uint8), connectivity=8)
    for rows, columns in ((0, 0), (3, 4), (11, 13)):
        large = torch.zeros(20, 20, dtype=torch.bool)
        large[rows : rows + 9, columns : columns + 7] = mask
        found = named(large)[rows : rows + 9, columns : columns + 7]
        pairs = set(zip(found.flatten().tolist(), expected.flatten(), strict=True))
        assert len(pairs) == expected.max() + 1 > 3


@pytest.mark.parametrize(
    ('align_corners', 'expected'),
    [(True, [0, 1 / 3, 2 / 3, 1]), (False, [0, 0.25, 0.75, 1])],
)
def test_feature_scores_at_the_size_of_the_mask(align_corners, expected) -> None:
    found = record([[0.0, 1.0]], [[0, 1, 1, 0]]).scores(align_corners)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float32))
    assert record([[0.0, 1.0]]).scores(align_corners).tolist() == [[0, 1]]


@pytest.mark.parametrize('at_once', [1, 10, 1000])
def test_feature_counted_alone_or_together(at_once, monkeypatch) -> None:
    """Products in turn; each as if its images had come alone."""
    monkeypatch.setattr(anomaly_pixels, 'COUNTED_AT_ONCE', at_once)
    together, alone = PixelHistograms(2), [PixelHistograms(1), PixelHistograms(1)]
    for product, image in [(0, 0), (0, 1), (1, 0), (0, 1), (1, 1), (1, 0)]:
        together.add(product, IMAGES[image], align_corners=True)
        alone[product].add(0, IMAGES[image], align_corners=True)
        assert alone[product].counts[0, 0].sum() > 0
    expected = torch.cat([histograms.counts for histograms in alone])
    assert torch.equal(together.counts, expected)
    assert together.counts is together.counts  # what processes add up in place
    assert together.counts[:, :2].sum() == 3 * 8 + 3 * 4


def test_exception_forgotten_pixels() -> None:
    image = record([[0.5, 0.25]], [[0, 1]])
    image.forget_pixels()
    with pytest.raises(ValueError, match="pixels=None of an image of 'bottle'"):
        rank_pixels([image], align_corners=True)
    with pytest.raises(ValueError, match='rank before forget_pixels'):
        PixelHistograms(1).add(0, image, align_corners=True)
