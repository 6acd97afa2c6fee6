"""From a batch to what the model takes."""

from __future__ import annotations

import pytest
import torch

from tests.models.anomaly.conftest import batch, build


def preprocessor(**settings):
    return build({'type': 'mmdefect.AnomalyDataPreprocessor', **settings}, None)


def test_feature_bgr_to_normalised_rgb():
    made = preprocessor()(batch(labels=(0, 1), size=4))
    images = made['inputs']['images']
    assert images.shape == (2, 3, 4, 4)
    blue, _, red = batch(labels=(0, 1), size=4)['inputs'][1].float()
    torch.testing.assert_close(images[1, 0], (red - 123.675) / 58.395)
    torch.testing.assert_close(images[1, 2], (blue - 103.53) / 57.375)
    assert [s.class_label for s in made['data_samples']] == [0, 1]


def test_feature_mean_and_std():
    made = preprocessor(mean=(1, 2, 3), std=(2, 2, 2))
    image = torch.tensor([7.0, 6.0, 5.0]).view(3, 1, 1)
    assert made.normalise([image]).flatten().tolist() == [2, 2, 2]
    assert not made.state_dict()


def test_feature_cached_features():
    half = [torch.full((2, 3, 3), float(k), dtype=torch.half) for k in range(2)]
    given = batch(labels=(0, 1), size=4)
    made = preprocessor()({**given, 'inputs': {'features': half}})
    assert set(made['inputs']) == {'features'}
    assert made['inputs']['features'].dtype == torch.float32
    assert made['inputs']['features'][1].unique().tolist() == [1]
    both = {'features': half, 'image': given['inputs']}
    made = preprocessor()({**given, 'inputs': both})
    assert set(made['inputs']) == {'features', 'images'}


@pytest.mark.parametrize('channels', [1, 4])
def test_exception_channels(channels):
    with pytest.raises(ValueError, match=rf'^images of {channels} channels: '):
        preprocessor()({'inputs': [torch.zeros(channels, 4, 4)]})


def test_exception_sizes():
    images = [torch.zeros(3, 4, 4), torch.zeros(3, 5, 4)]
    with pytest.raises(ValueError, match=r'\(3, 4, 4\), \(3, 5, 4\).*resize all'):
        preprocessor()({'inputs': images})
