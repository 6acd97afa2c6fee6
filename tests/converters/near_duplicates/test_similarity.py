from __future__ import annotations

import numpy as np
import pytest

from mmdefect.converters.near_duplicates.descriptors import (
    ANGLES,
    RINGS,
    describe,
    read_grey,
)
from mmdefect.converters.near_duplicates.similarity import (
    TURNS,
    align,
    similar_pairs,
    similarity,
)
from tests.converters.near_duplicates.conftest import Toy


def smooth_maps(number: int) -> np.ndarray:
    """Random maps without the two frequencies that are left out."""
    rng = np.random.default_rng(0)
    spectrum = rng.normal(size=(2, number, RINGS, ANGLES // 2 + 1))
    spectrum[..., [0, -1]] = 0
    return np.fft.irfft(spectrum[0] + 1j * spectrum[1], n=ANGLES).astype(np.float32)


@pytest.mark.parametrize('method', ['aligned', 'spectrum'])
def test_feature_turned_and_mirrored_maps_are_equal(method: str) -> None:
    maps = smooth_maps(3)
    changed = np.stack([np.roll(maps[0], 17, 1), maps[1][:, ::-1], 2.5 * maps[2]])
    alike = similarity(maps, changed, method=method)
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    assert alike[~np.eye(3, dtype=bool)].max() < 0.9


def test_feature_aligned_by_hand() -> None:
    """The same as trying every rotation and mirror, one after the other."""
    first, second = smooth_maps(2)
    fine = np.fft.irfft(np.fft.rfft(second), n=TURNS) * 2  # at twice the angles
    both = (fine, np.roll(fine[:, ::-1], 1, axis=1))
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    tried = [
        (first * np.roll(map_, turn, axis=1)[:, ::2]).sum() / norm
        for map_ in both
        for turn in range(TURNS)
    ]
    found = similarity(first[None], second[None])[0, 0]
    assert found == pytest.approx(max(tried), abs=1e-5)
    assert align(first, second).similarity == pytest.approx(max(tried), abs=1e-5)


def test_feature_spectrum_is_blind_to_phase() -> None:
    """Which is why it tells parts apart less well."""
    maps = smooth_maps(1)
    phases = np.random.default_rng(1).uniform(0, 6, (1, RINGS, ANGLES // 2 + 1))
    scrambled = np.fft.irfft(np.fft.rfft(maps) * np.exp(1j * phases), n=ANGLES)
    assert similarity(maps, scrambled, method='spectrum') == pytest.approx(1, abs=1e-5)
    assert similarity(maps, scrambled)[0, 0] < 0.3


@pytest.mark.parametrize(('turn', 'mirrored'), [(0, False), (40, False), (40, True)])
def test_feature_align(turn: int, mirrored: bool) -> None:
    reference = smooth_maps(1)[0]
    # other(a) = reference(a + turn), or reference(turn - a).
    steps = turn - np.arange(ANGLES) if mirrored else turn + np.arange(ANGLES)
    other = reference[:, steps % ANGLES]
    found = align(reference, other)
    assert found.mirrored == mirrored
    assert found.turn == pytest.approx(2 * np.pi * turn / ANGLES, abs=1e-6)
    assert found.similarity == pytest.approx(1, abs=1e-5)


def test_feature_real_rotation(toy: Toy) -> None:
    """An image that is turned by 90 degrees and mirrored, pixels untouched."""
    image = read_grey(toy.paths[5])
    for changed in (np.rot90(image), image[:, ::-1]):
        own = describe(np.ascontiguousarray(changed))
        alike = similarity(own[None], toy.found.maps)[0]
        assert alike.argmax() == 5
        assert alike[5] > 0.95


def test_feature_pairs(toy: Toy) -> None:
    alike = similarity(toy.found.maps, toy.found.maps)
    pairs = similar_pairs(toy.found.maps, 0.9)
    rows, columns = np.nonzero(np.triu(alike, 1) >= 0.9)
    assert list(zip(pairs.first, pairs.second, strict=True)) == list(
        zip(rows, columns, strict=True)
    )
    np.testing.assert_allclose(pairs.similarity, alike[rows, columns], atol=1e-5)
    # Exactly the copies of one part: six pairs of four copies, of eight parts.
    assert len(rows) == 8 * 6
    np.testing.assert_array_equal(toy.parts[rows], toy.parts[columns])


def test_feature_nothing_alike(toy: Toy) -> None:
    pairs = similar_pairs(toy.found.maps[:1], 0.5)
    assert [len(part) for part in pairs] == [0, 0, 0]


def test_exception_method() -> None:
    maps = smooth_maps(1)
    with pytest.raises(ValueError, match='expected one of aligned, spectrum'):
        similarity(maps, maps, method='hash')
    with pytest.raises(ValueError, match='expected one of aligned, spectrum'):
        similar_pairs(maps, 0.5, method='hash')
