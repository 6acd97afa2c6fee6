"""Images that a detector is made to show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmdefect.models.detection.drawing import (
    Appearance,
    Spectra,
    draw_images,
    recorded_moments,
    where_boxes_are,
)
from tests.models.detection.conftest import make_teacher

SHAPE = (64, 96)
BOX = InstanceData(
    bboxes=torch.tensor([[8.0, 8.0, 70.0, 48.0]]), labels=torch.tensor([0])
)


def sample_of(seed: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    image = 60 + 40 * torch.rand(1, *SHAPE, generator=generator)
    meta = {'img_shape': SHAPE, 'scale_factor': (1.0, 1.0)}
    truth = DetDataSample(gt_instances=BOX.clone(), metainfo=meta)
    return {'inputs': [image.expand(3, -1, -1).byte()], 'data_samples': [truth]}


@pytest.fixture
def detector() -> Any:
    return make_teacher().requires_grad_(False).eval()


def appearance_of(detector: Any, *seeds: int) -> Appearance:
    found = Appearance()
    for seed in seeds:
        found.see(detector, sample_of(seed), BOX.bboxes, torch.zeros(0, 4))
    return found


def test_feature_moments_of_a_batch(detector: Any) -> None:
    """Image after image, as of all at once: the variance between them counts."""
    samples = [sample_of(seed) for seed in range(3)]
    both = {key: [one[key][0] for one in samples] for key in samples[0]}
    data = detector.data_preprocessor(both, False)
    inside = where_boxes_are([BOX.bboxes] * 3, data['inputs'], [SHAPE] * 3)
    with recorded_moments(detector.backbone, inside) as wanted:
        detector.backbone(data['inputs'])
    for ours, theirs in zip(
        appearance_of(detector, 0, 1, 2).moments, wanted, strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_feature_where_boxes_are() -> None:
    boxes = torch.tensor([[-3.0, 1.0, 2.0, 9.0]])
    inside = where_boxes_are([boxes], torch.zeros(1, 3, 4, 6), [(3, 5)])
    assert inside[0, 0, :, :2].nan_to_num(9).tolist() == [
        [0, 0], [1, 1], [1, 1], [9, 9],
    ]  # fmt: skip
    assert inside.isnan().sum() == 4 * 6 - 3 * 5
    above = torch.tensor([[0.0, -9.0, 5.0, -2.0]])
    other = torch.tensor([[1.0, 0.0, 3.0, 3.0]])
    inside = where_boxes_are([above], torch.zeros(1, 3, 3, 5), [(3, 5)], [other])
    assert inside[0, 0, 1].nan_to_num(9).tolist() == [0, 9, 9, 0, 0]


def test_feature_an_image_without_outside_says_nothing_of_it(detector: Any) -> None:
    some, more = appearance_of(detector, 0), appearance_of(detector, 0)
    whole = torch.tensor([[0.0, 0.0, SHAPE[1], SHAPE[0]]])
    more.see(detector, sample_of(1), whole, torch.zeros(0, 4))
    for ours, theirs in zip(more.moments, some.moments, strict=True):
        torch.testing.assert_close(ours[1], theirs[1])


def test_shape() -> None:
    images = Spectra(number=2, shape=(9, 14), channels=3, seed=0)()
    assert images.shape == (2, 3, 9, 14)
    assert 0 < images.min() < images.max() < 255


@pytest.mark.parametrize('channels', [1, 3])
def test_feature_iterations_come_nearer(detector: Any, channels: int) -> None:
    moments, told = appearance_of(detector, 0, 1).moments, []
    about = {'label': 0, 'shape': SHAPE, 'channels': channels, 'iterations': 20}
    truths = [BOX, BOX]
    images = draw_images(
        detector, moments, truths, **about, tell=lambda *step: told.append(step)
    )
    assert images.shape == (2, channels, *SHAPE)
    assert [number for number, _ in told] == list(range(20))
    assert told[-1][1] < told[0][1] / 2
    assert not any(p.grad is not None for p in detector.parameters())
    again = draw_images(detector, moments, truths, **about)
    assert torch.equal(again, images)


def test_exception_without_batch_norm() -> None:
    layers, images = nn.Sequential(nn.Conv2d(3, 3, 1)), torch.zeros(1, 3, 4, 4)
    inside = where_boxes_are([BOX.bboxes], images, [(4, 4)])
    with (
        pytest.raises(ValueError, match=r'Sequential: expected one with batch norm'),
        recorded_moments(layers, inside),
    ):
        pass
