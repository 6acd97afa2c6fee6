"""An even sample of patches that forgets in which order they came."""

from __future__ import annotations

import torch

from mmdefect.models.anomaly.reservoir import PatchReservoir, image_key, numbers_of


def filled(keys, limit=25, size=10):
    sample = PatchReservoir(limit)
    for key in keys:
        sample.add(key, torch.full((size, 2), float(ord(key))))
    return sample


def same(one, other):
    return torch.equal(one.patches, other.patches) and torch.equal(
        one.places, other.places
    )


def test_smoke_keeps_the_lowest_numbers():
    sample = filled('abcdefgh')
    numbers = torch.cat([numbers_of(key, 10) for key in 'abcdefgh'])
    expected = numbers.sort().indices[:25]
    assert len(sample) == 25
    assert sample.patches[:, 0].tolist() == [
        float(ord('abcdefgh'[int(index) // 10])) for index in expected
    ]
    assert sample.places.tolist() == (expected % 10).tolist()


def test_feature_the_order_does_not_matter():
    assert same(filled('abcdefgh'), filled('hgfedcba'))


def test_feature_several_processes_are_one():
    """An image that fills up a batch of the second counts once."""
    one, other = filled('abcd'), filled('efgha')
    one.merge(other)
    assert same(one, filled('abcdefgh'))


def test_feature_fewer_than_its_limit():
    assert len(filled('ab', limit=100)) == 20
    assert len(filled('aab', limit=100)) == 20
    assert len(PatchReservoir(3)) == 0


def test_feature_bounded_while_patches_come_in():
    sample = PatchReservoir(20)
    for number in range(50):
        sample.add(str(number), torch.zeros(10, 2))
        assert sum(len(part[0]) for part in sample._parts) <= 30


def test_feature_numbers_are_even_and_hang_on_the_key():
    numbers = numbers_of('a', 4000)
    assert torch.equal(numbers, numbers_of('a', 4000))
    assert not torch.equal(numbers, numbers_of('b', 4000))
    assert abs(float(numbers.mean()) - 0.5) < 0.02


def test_feature_key_wherever_the_data_lies():
    assert image_key('/x/bottle/train/good/0.png') == image_key(
        'data/bottle/train/good/0.png'
    )
