"""From reconstruction errors to maps and scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmdefect.models.anomaly.scoring import (
    anomaly_map,
    check_score,
    image_scores,
    with_scores,
)
from mmdefect.structures import AnomalySample


def maps(side=20):
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def samples(*shapes):
    return [AnomalySample(metainfo={'img_shape': shape}) for shape in shapes]


def test_feature_map_is_the_distance():
    features, rebuilt = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    rebuilt[0, :, 0, 1] = torch.tensor([3.0, -4.0])
    assert anomaly_map(features, rebuilt).tolist() == [[[[0.0, 5.0]]]]


def test_feature_scores():
    found = maps()
    plain = found[:, 0].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(plain, (16, 16), axis=(1, 2))
    expected = {
        'pooled_max': windows.mean(axis=(-1, -2)).max(axis=(1, 2)),
        'max': plain.max(axis=(1, 2)),
        'mean': plain.mean(axis=(1, 2)),
        'std': plain.reshape(2, -1).std(axis=1, ddof=1),
    }
    for score, values in expected.items():
        np.testing.assert_allclose(image_scores(found, score), values, rtol=1e-5)


def test_feature_window_of_a_small_map():
    found = maps(8)
    torch.testing.assert_close(image_scores(found), found.mean(dim=(1, 2, 3)))


def test_feature_samples_get_maps_of_their_size():
    small = maps(4)
    made = with_scores(small, samples((32, 32), (20, 24)), 'max')
    assert [tuple(s.pred_map.shape) for s in made] == [(32, 32), (20, 24)]
    for sample, source in zip(made, small, strict=True):
        # Aligned corners: the map's corners are its source's.
        assert sample.pred_map[0, 0] == source[0, 0, 0]
        torch.testing.assert_close(sample.pred_map[-1, -1], source[0, -1, -1])
        assert sample.pred_score.shape == ()
        assert sample.pred_score == sample.pred_map.max()


def test_exception_score():
    with pytest.raises(ValueError, match=r"model\.score='median': expected one of"):
        check_score('median')
