from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mmdefect.datasets.casting.layout import CastingImage, scan_originals, scan_vendor
from mmdefect.datasets.images import refuse
from mmdefect.testing import make_toy_casting


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_casting(
        tmp_path / 'casting', parts=2, copies=3, size=64, originals=True
    )


def test_smoke(root: Path) -> None:
    scan = scan_vendor(root)
    assert scan.errors == []
    counts = Counter((image.vendor_split, image.label) for image in scan.images)
    assert counts == {('train', 0): 5, ('train', 1): 5, ('test', 0): 1, ('test', 1): 1}
    first = scan.images[0]
    assert first == CastingImage(first.name, 0, 'train')
    assert first.name.startswith('train/def_front/cast_def_0_')
    assert scan.path(first).is_file()
    names = [image.name for image in scan.images if image.vendor_split == 'train']
    assert names == sorted(names)


def test_smoke_originals(root: Path) -> None:
    for place in (root, root / 'casting_512x512'):
        scan = scan_originals(place)
        assert scan.errors == []
        assert Counter(i.label for i in scan.images) == {0: 2, 1: 2}
        assert {i.vendor_split for i in scan.images} == {''}
        assert scan.images[0].name == 'def_front/cast_def_0_0.jpeg'


@pytest.mark.parametrize('depth', [1, 2])
def test_feature_nested_archives(root: Path, tmp_path: Path, depth: int) -> None:
    names = [image.name for image in scan_vendor(root).images]
    for kind, source in (('casting_data', ''), ('casting_512x512', 'casting_512x512')):
        target = tmp_path / 'nested' / '/'.join([kind] * depth)
        shutil.copytree(root / source, target)
    nested = scan_vendor(tmp_path / 'nested')
    assert [image.name for image in nested.images] == names
    assert nested.folder == tmp_path / 'nested' / '/'.join(['casting_data'] * depth)
    assert len(scan_originals(tmp_path / 'nested').images) == 4


def test_feature_extensions_in_any_case_and_hidden_files(root: Path) -> None:
    suffixes = ('.JPG', '.JPEG', '.jpg', '.PNG')
    for path, suffix in zip(
        (root / 'train/def_front').iterdir(), suffixes, strict=False
    ):
        path.rename(path.with_suffix(suffix))
    (root / 'train/def_front/.DS_Store').write_bytes(b'x')
    (root / 'train/def_front/._cast_def_0_0.jpeg').write_bytes(b'x')
    scan = scan_vendor(root)
    assert scan.errors == []
    assert len(scan.images) == 12
    found = {Path(image.name).suffix for image in scan.images}
    assert found == {*suffixes, '.jpeg'}


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (
            lambda r: shutil.rmtree(r / 'test/ok_front'),
            r'the class folder .*test/ok_front is not there: expected ok_front images',
        ),
        (
            lambda r: [p.unlink() for p in (r / 'train/def_front').iterdir()],
            r'the class folder .*train/def_front holds no image: expected def_front',
        ),
        (lambda r: shutil.rmtree(r / 'test'), r'folder .*test/def_front is not there'),
        (
            lambda r: (r / 'train/def_front/list.txt').write_bytes(b'x'),
            r'holds something else than images \(1: .*list\.txt\): expected files end',
        ),
        (
            lambda r: (r / 'train/ok_front/more').mkdir(),
            r'holds something else than images \(1: more\)',
        ),
        (
            lambda r: (r / 'train/OK_front').mkdir(),
            r'unknown class folders \(1: .*OK_front\): expected def_front and ok_front',
        ),
    ],
)
def test_exception_layout(root: Path, spoil, message: str) -> None:
    spoil(root)
    with pytest.raises(ValueError, match=f'^here: .*{message}'):
        refuse(scan_vendor(root).errors, where='here')


def test_exception_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'there is no folder .*/none: exp'):
        scan_vendor(tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match='there is no train or test in'):
        scan_vendor(tmp_path)
    with pytest.raises(FileNotFoundError, match='no def_front or ok_front in'):
        scan_originals(tmp_path)


def test_feature_refuse_counts_the_rest() -> None:
    refuse([], where='here')
    with pytest.raises(ValueError, match=r'^here: one \(2 more like this\)$'):
        refuse(['one', 'two', 'three'], where='here')
