"""How images are normalised: read of models and files, and compared."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmengine.model import BaseDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor

from mmdefect.models.anomaly.preprocessor import AnomalyDataPreprocessor
from mmdefect.utils.normalisation import (
    CAFFE,
    IMAGENET,
    Normalisation,
    normalisation_of,
    see_alike,
    written_normalisation,
)

NUMBERS = {'mean': list(IMAGENET.mean), 'std': list(IMAGENET.std)}
CASTINGS = Normalisation((143.9,) * 3, (60.84,) * 3, True)
LITE = Normalisation((127.0,) * 3, (128.0,) * 3, True)


@pytest.mark.parametrize(
    ('made', 'rgb'),
    [
        (DetDataPreprocessor(**NUMBERS, bgr_to_rgb=True), True),
        (DetDataPreprocessor(**NUMBERS), False),
        (ClsDataPreprocessor(**NUMBERS, to_rgb=True), True),
        (ClsDataPreprocessor(**NUMBERS), False),
        (AnomalyDataPreprocessor(), True),
    ],
)
def test_smoke_of_a_model(made, rgb) -> None:
    found = normalisation_of(SimpleNamespace(data_preprocessor=made))
    assert found.mean == pytest.approx((123.675, 116.28, 103.53))
    assert found.std == pytest.approx((58.395, 57.12, 57.375))
    assert found.rgb is rgb


@pytest.mark.parametrize('made', [BaseDataPreprocessor(), ClsDataPreprocessor(), None])
def test_feature_nothing_is_done(made) -> None:
    assert normalisation_of(SimpleNamespace(data_preprocessor=made)) is None


def test_smoke_of_a_file() -> None:
    meta = {'normalisation': CAFFE._asdict()}
    assert written_normalisation(meta, 'in.pth') == CAFFE
    assert written_normalisation({'arch': 'resnet18'}, 'in.pth') is None


@pytest.mark.parametrize(
    'given',
    [
        'rgb',
        {**NUMBERS},
        {'mean': [0.0], 'std': [1.0, 1.0], 'rgb': True},
        {'mean': [0.0], 'std': [0.0], 'rgb': True},
    ],
)
def test_exception_of_a_file(given) -> None:
    with pytest.raises(
        ValueError, match=r"in\.pth has meta\['normalisation'\]=.* anew"
    ):
        written_normalisation({'normalisation': given}, 'in.pth')


@pytest.mark.parametrize(
    ('weights', 'model', 'alike'),
    [
        (IMAGENET, IMAGENET, True),
        (IMAGENET, CASTINGS, True),  # as the casting study trained
        (IMAGENET, IMAGENET._replace(rgb=False), False),
        (IMAGENET, CAFFE, False),
        (CAFFE, IMAGENET._replace(rgb=False), False),
        (LITE, IMAGENET, False),
        (IMAGENET, IMAGENET._replace(mean=(0.0,) * 3), False),
        (IMAGENET, Normalisation((118.0,), (58.0,), True), True),  # one for all
        (IMAGENET, Normalisation((118.0,) * 4, (58.0,) * 4, True), False),
    ],
)
def test_feature_what_weights_may_see(weights, model, alike) -> None:
    assert see_alike(weights, model) is alike


def test_feature_in_words() -> None:
    assert str(CAFFE) == (
        'BGR images of mean (103.9, 116.8, 123.7) and deviation (1, 1, 1)'
    )


def test_feature_buffers_are_read_as_numbers() -> None:
    made = AnomalyDataPreprocessor(mean=(1.5, 2.5, 3.5), std=(4.0, 5.0, 6.0))
    assert isinstance(made.mean, torch.Tensor)
    found = normalisation_of(SimpleNamespace(data_preprocessor=made))
    assert found == Normalisation((1.5, 2.5, 3.5), (4.0, 5.0, 6.0), True)
