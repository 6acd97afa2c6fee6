"""What all toy datasets promise: a seed fixes every byte, and arguments are checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmdefect import testing
from tests.helpers.dataset_files import files_in

SMALL = {
    'casting': {'size': 64, 'parts': 1, 'copies': 2, 'masks': True},
    'cracks': {'size': 64, 'train': 1, 'val': 1, 'test': 1},
    'deeppcb': {'size': 128, 'train': 2, 'test': 1},
    'neu_det': {'size': 64, 'per_class': 2},
    'products': {'size': 32, 'train': 1, 'test': 4},
    'visa': {'size': 32, 'train': 1, 'test': 1},
}
LARGER = {
    'cracks': {'train': 2, 'val': 2, 'test': 2},
    'neu_det': {'per_class': 8},
    'products': {'train': 2, 'test': 10},
}


def make(name: str, root: Path, **changes: object) -> dict[str, bytes]:
    kwargs = {**SMALL[name], **changes}
    return files_in(getattr(testing, f'make_toy_{name}')(root, **kwargs))


@pytest.mark.parametrize('name', SMALL)
def test_feature_same_seed_same_bytes(tmp_path: Path, name: str) -> None:
    first, again, other = (
        make(name, tmp_path / folder, seed=seed)
        for folder, seed in (('a', 3), ('b', 3), ('c', 4))
    )
    assert first == again
    pictures = [
        path for path in first if not re.search('mask|truth|txt|xml|csv', path, re.I)
    ]
    assert pictures
    assert not {first[path] for path in pictures} & set(other.values())


@pytest.mark.parametrize('name', LARGER)
def test_feature_a_larger_set_begins_with_the_smaller(
    tmp_path: Path, name: str
) -> None:
    small = make(name, tmp_path / 'small')
    assert small.items() < make(name, tmp_path / 'large', **LARGER[name]).items()


@pytest.mark.parametrize(
    ('name', 'argument', 'value'),
    [
        *(('casting', *case) for case in (('parts', 0), ('copies', 1), ('size', 32))),
        *(('cracks', *case) for case in (('size', 32), ('val', 0), ('test', 0))),
        *(('deeppcb', *case) for case in (('train', 0), ('test', 2999), ('size', 64))),
        *(('neu_det', *c) for c in (('per_class', 0), ('size', 32), ('mixed', 1.5))),
        *(('products', *case) for case in (('products', 7), ('train', 0), ('test', 1))),
        ('products', 'size', 16),
        *(('visa', *case) for case in (('train', 0), ('test', 0))),
    ],
)
def test_exception_argument_out_of_range(
    tmp_path: Path, name: str, argument: str, value: float
) -> None:
    with pytest.raises(ValueError, match=f'{argument}={value}: expected at least'):
        make(name, tmp_path, **{argument: value})


def test_exception_visa_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='number of classes=0: expected at least 1'):
        make('visa', tmp_path, classes=())
    with pytest.raises(ValueError, match="unknown class 'wood'"):
        make('visa', tmp_path, classes=('wood',))
