from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.datasets.transforms.rigid import RandomRigid
from mmdefect.registry import TRANSFORMS


def noise(height: int = 40, width: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def run(image: np.ndarray, *, seed: int = 0, **kwargs: Any) -> np.ndarray:
    np.random.seed(seed)
    return RandomRigid(**kwargs)({'img': image.copy()})['img']


def test_smoke() -> None:
    built = TRANSFORMS.build({'type': 'mmdefect.RandomRigid', 'rotate': 180})
    assert isinstance(built, RandomRigid)
    assert repr(built).startswith('RandomRigid(rotate=180, translate=0.0')


@pytest.mark.parametrize('shape', [(40, 40), (30, 50), (40, 40, 3), (41, 40, 1)])
def test_shape(shape: tuple) -> None:
    image = np.full(shape, 7, np.uint8)
    found = run(image, rotate=90, translate=0.2, scale=(0.5, 2))
    assert found.shape[:2] == shape[:2]
    assert found.dtype == np.uint8
    assert (found == 7).all()  # a reflected even image is even


def test_feature_nothing_by_default() -> None:
    np.testing.assert_array_equal(run(noise()), noise())


def test_feature_quarter_turn_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of the image is what turns; draws of 1 give the largest angle."""
    monkeypatch.setattr(np.random, 'random', lambda n: np.array([0, 1, 0, 0.5, 0.5]))
    found = RandomRigid(rotate=90)({'img': noise()})['img']
    np.testing.assert_array_equal(found, np.rot90(noise()))


def test_feature_translation_and_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random, 'random', lambda n: np.array([0, 0.5, 0, 1, 0]))
    shift = RandomRigid(translate=0.1, border='constant')
    found = shift({'img': noise(20, 40)})['img']
    np.testing.assert_array_equal(found[:-2, 4:], noise(20, 40)[2:, :-4])
    assert not found[-2:].any()
    assert not found[:, :4].any()

    monkeypatch.setattr(np.random, 'random', lambda n: np.array([0, 0.5, 1, 0.5, 0.5]))
    image = np.zeros((41, 41), np.uint8)
    image[15:26, 15:26] = 255
    grown = RandomRigid(scale=(0.5, 2), interpolation='nearest')({'img': image})['img']
    assert (grown > 0).sum() == pytest.approx(4 * 11 * 11, rel=0.06)


def test_feature_ranges() -> None:
    """Centres and sizes of a disc over many draws stay in what was asked for."""
    image = np.zeros((101, 101), np.uint8)
    cv2.circle(image, (50, 50), 10, 255, -1)
    transform = RandomRigid(translate=0.1, scale=(0.8, 1.25), border='constant')
    np.random.seed(0)
    shifts, factors = [], []
    for _ in range(200):
        rows, columns = np.nonzero(transform({'img': image})['img'] > 127)
        shifts.append((rows.mean() - 50, columns.mean() - 50))
        factors.append((len(rows) / (image > 127).sum()) ** 0.5)
    reach = np.abs(shifts).max(axis=0)
    assert (reach > 9).all()
    assert (reach < 10.5).all()
    assert (min(factors), max(factors)) == pytest.approx((0.8, 1.25), abs=0.06)


@pytest.mark.parametrize(
    ('border', 'expected'),
    [('reflect', [30, 20, 10, 20]), ('edge', [10, 10, 10, 20]), ('constant', [0, 0])],
)
def test_feature_border(
    monkeypatch: pytest.MonkeyPatch, border: str, expected: list[int]
) -> None:
    monkeypatch.setattr(np.random, 'random', lambda n: np.array([0, 0.5, 0, 1, 0.5]))
    image = np.tile(np.arange(10, 110, 10, dtype=np.uint8), (10, 1))
    found = RandomRigid(translate=0.2, border=border)({'img': image})['img']
    assert found[5, : len(expected)].tolist() == expected


def test_feature_interpolation() -> None:
    """Nearest invents no value, the others do."""
    image = np.where(noise() > 127, 200, 50).astype(np.uint8)
    kinds = {}
    for name in ('nearest', 'bilinear', 'bicubic'):
        found = run(image, rotate=30, interpolation=name, border='edge')
        kinds[name] = found
    assert set(np.unique(kinds['nearest'])) == {50, 200}
    assert len(np.unique(kinds['bilinear'])) > 50
    assert (kinds['bicubic'] != kinds['bilinear']).any()


def test_feature_numpys_state_decides_whatever_the_arguments() -> None:
    kwargs = {'rotate': 180, 'translate': 0.05, 'scale': (0.95, 1.05)}
    first, again, other = (run(noise(), seed=s, **kwargs) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    states = set()
    for kwargs in ({}, {'rotate': 20, 'prob': 0.0}, {'translate': 0.3}):
        run(noise(), **kwargs)
        states.add(np.random.random())
    assert len(states) == 1


def test_feature_prob() -> None:
    transform = RandomRigid(rotate=180, prob=0.25)
    np.random.seed(0)
    changed = [
        (transform({'img': noise()})['img'] != noise()).any() for _ in range(400)
    ]
    assert np.mean(changed) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'rotate': -1}, 'rotate=-1: expected at least 0 and at most 180'),
        ({'rotate': 181}, 'rotate=181: expected'),
        ({'translate': 1.0}, 'translate=1.0: expected at least 0 and less than 1'),
        ({'scale': (0, 1)}, r'scale=\(0, 1\): expected'),
        ({'scale': (1.2, 1.1)}, 'scale='),
        ({'scale': (1,)}, 'scale='),
        ({'prob': 1.1}, 'prob=1.1: expected'),
        ({'border': 'black'}, 'expected one of reflect, edge, constant'),
        ({'interpolation': 'lanczos'}, 'expected one of nearest, bilinear, bicubic'),
    ],
)
def test_exception_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomRigid(**kwargs)


def test_exception_float_image() -> None:
    with pytest.raises(ValueError, match='got float32: expected uint8'):
        RandomRigid()({'img': noise().astype(np.float32)})
