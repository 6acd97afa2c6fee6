from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from mmdefect.datasets.anomaly.layout import scan_products
from mmdefect.datasets.anomaly.meta_file import meta_lines, read_meta_file
from tests.helpers.dataset_files import infos

GOOD = {'filename': 'a/test/good/0.png', 'label': 0, 'clsname': 'a'}
BAD = {
    'filename': 'a/test/hole/0.png',
    'label': 1,
    'label_name': 'defective',
    'clsname': 'a',
    'maskname': 'a/ground_truth/hole/0_mask.png',
}


def write(path: Path, *entries: Any) -> Path:
    path.write_text('\n'.join(json.dumps(entry) for entry in entries), encoding='utf-8')
    return path


def listed(root: Path, path: Path, *products: str, split: str = 'test') -> str:
    """Write a list of what the folders hold."""
    images = scan_products(root, products, split).images
    path.write_text('\n'.join(meta_lines(images, root)), encoding='utf-8')
    return str(path)


def build(root: Path, split: str, **kwargs: Any) -> list[dict[str, Any]]:
    kwargs = {'pipeline': [], **kwargs}
    return infos(AnomalyDataset(data_root=str(root), split=split, **kwargs))


def test_smoke_lines_as_published(tmp_path: Path) -> None:
    path = write(tmp_path / 'list.json', GOOD, BAD)
    good, bad = read_meta_file(path, Path('/folder')).images
    assert (good.label, good.defect, good.masks) == (0, 'good', ())
    assert (bad.label, bad.defect, bad.product) == (1, 'hole', 'a')
    assert bad.path == Path('/folder/a/test/hole/0.png')
    assert bad.masks == (Path('/folder/a/ground_truth/hole/0_mask.png'),)


def test_feature_array_equals_lines(tmp_path: Path) -> None:
    lines = read_meta_file(write(tmp_path / 'lines.json', GOOD, BAD), tmp_path)
    for indent in (None, 2):
        text = json.dumps([GOOD, BAD], indent=indent)
        (tmp_path / 'array.json').write_text(text, encoding='utf-8')
        assert read_meta_file(tmp_path / 'array.json', tmp_path) == lines


@pytest.mark.parametrize('split', ['train', 'test'])
def test_feature_round_trip(toy_products: Path, tmp_path: Path, split: str) -> None:
    """A list written from the folders gives what the folders give."""
    path = listed(toy_products, tmp_path / 'x', 'cloth', 'dots', 'marble', split=split)
    found = build(toy_products, split, meta_file=path)
    assert found == build(toy_products, split)
    assert len(found) == 15


def test_feature_product_and_kind_from_the_path(tmp_path: Path) -> None:
    """The folder of a defect is its kind, unless it names none."""
    deep = {'filename': 'deep/er/bolt/train/good/1.png', 'label': 0}
    flat = {'filename': '1.png', 'label': 1, 'clsname': 'a'}
    bolt, bad = read_meta_file(write(tmp_path / 'x', deep, flat), tmp_path).images
    assert bolt.product == 'bolt'
    assert (bad.label, bad.defect) == (1, 'defective')


def test_feature_several_masks(tmp_path: Path) -> None:
    names = ['m/0.png', 'm/1.png']
    entry = {**BAD, 'maskname': names}
    (image,) = read_meta_file(write(tmp_path / 'x', entry), Path('/r')).images
    assert image.masks == (Path('/r/m/0.png'), Path('/r/m/1.png'))
    assert json.loads(meta_lines([image], Path('/r'))[0])['maskname'] == names


def test_feature_only_wanted_products_are_looked_at(
    toy_products: Path, tmp_path: Path
) -> None:
    """A cumulative list serves earlier steps; labels follow the stream."""
    path = listed(toy_products, tmp_path / 'x', 'cloth', 'dots')
    with Path(path).open('a', encoding='utf-8') as file:
        file.write(f'\n{json.dumps(GOOD)}')
    classes = {'classes': ('dots', 'cloth', 'a')}
    kwargs = {'metainfo': classes, 'seen_classes': ['dots', 'cloth']}
    found = build(toy_products, 'test', meta_file=path, **kwargs)
    assert [info['class_label'] for info in found] == [0] * 5 + [1] * 5


def test_feature_masks_of_no_image_or_of_some(tmp_path: Path) -> None:
    """A product known by image only, and a forgotten mask."""
    bare = {key: value for key, value in BAD.items() if key != 'maskname'}
    scan = read_meta_file(write(tmp_path / 'x', GOOD, bare), tmp_path)
    assert (scan.errors, scan.image_level) == ([], ['a'])
    other = {'filename': 'a/test/hole/7.png', 'label': 1, 'maskname': ''}
    (error,) = read_meta_file(write(tmp_path / 'x', BAD, other), tmp_path).errors
    assert re.search(r'without "maskname" \(1: .*hole/7\.png', error)


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        ([GOOD, {'filename': 'a/b/c/d.png'}], 'line 2 has the label null: expected 0'),
        ([{**GOOD, 'label': 2}], 'line 1 has the label 2'),
        ([{'label': 0}], 'expected an object with "filename"'),
        ([['a.png']], r'entry 1 is .a\.png.: expected an object'),
        ([{'filename': 'a.png', 'label': 0}], 'no "clsname" and the path a.png'),
        ([{**GOOD, 'maskname': 'm.png'}], 'gives the good image .* the mask m.png'),
        ([{**BAD, 'maskname': 5}], 'has the maskname 5: expected the path of a mask'),
        ([{**BAD, 'maskname': [1]}], r'has the maskname \[1\]: expected'),
        ([{**BAD, 'maskname': {'a': 'b'}}], 'has the maskname .*: expected'),
        ([{**BAD, 'maskname': ['../m.png']}], r"line 1 names the file '../m.png'"),
        ([{**GOOD, 'filename': 'a/../a/b/c/d.png'}], 'expected a path within'),
        ([{**GOOD, 'filename': '/a/b/c/d.png'}], 'expected a path within the folder'),
        ([{**GOOD, 'filename': 'a\0.png'}], 'that a file system can hold'),
        ([{**GOOD, 'label': [1]}], r'line 1 has the label \[1\]: expected'),
    ],
)
def test_exception_bad_entry(tmp_path: Path, entries: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_meta_file(write(tmp_path / 'x', *entries), tmp_path)


@pytest.mark.parametrize('change', [('a', 'a'), ('/', '\\'), ('a/', './a//')])
def test_exception_twice_in_any_spelling(tmp_path: Path, change: tuple) -> None:
    again = {**GOOD, 'filename': GOOD['filename'].replace(*change)}
    (error,) = read_meta_file(write(tmp_path / 'x', GOOD, BAD, again), tmp_path).errors
    assert f'names images more than once (1: {tmp_path}/{GOOD["filename"]})' in error


def test_feature_backslashes(tmp_path: Path) -> None:
    entry = {key: str(value).replace('/', '\\') for key, value in BAD.items()}
    listed = read_meta_file(write(tmp_path / 'x', {**entry, 'label': 1}), tmp_path)
    assert listed.images == read_meta_file(write(tmp_path / 'y', BAD), tmp_path).images


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[' * 99999, 'x nests lists or objects too deeply'),
        ('{"a": ' + '9' * 5000 + '}', 'x line 1 holds a number of too many digits'),
        ('[1', r'x is no JSON \('),
        (f'{json.dumps(GOOD)}\nfilename: b', 'x line 2 is no JSON'),
        ('5', 'x line 1 is 5: expected an object'),
        ('Schräge'.encode('latin-1'), 'x is no UTF-8 text'),
    ],
)
def test_exception_odd_json(tmp_path: Path, text: Any, message: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / 'x').write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_meta_file(tmp_path / 'x', tmp_path)


def test_feature_byte_order_mark_and_line_separators(tmp_path: Path) -> None:
    line = json.dumps({**GOOD, 'filename': 'a/train/good/a\u2028b.png'})
    text = '\ufeff' + json.dumps(json.loads(line), ensure_ascii=False) + '\r\n'
    (tmp_path / 'x').write_bytes(text.encode())
    (image,) = read_meta_file(tmp_path / 'x', tmp_path).images
    assert image.path.name == 'a\u2028b.png'


def test_exception_no_list(toy_products: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'there is no list .*none\.json'):
        build(toy_products, 'test', meta_file='none.json')
    (tmp_path / 'x').write_text('\n', encoding='utf-8')
    kwargs = {'meta_file': str(tmp_path / 'x'), 'metainfo': {'classes': ('cloth',)}}
    with pytest.raises(ValueError, match='x is empty: expected one image a line'):
        build(toy_products, 'test', **kwargs)


@pytest.mark.parametrize(
    ('split', 'classes', 'message'),
    [
        ('train', ('cloth', 'dots', 'wood'), 'has no image of wood'),
        ('test', ('cloth', 'dotz'), "unknown class 'dots'.*did you mean dotz"),
    ],
)
def test_exception_classes(
    toy_products: Path, tmp_path: Path, split: str, classes: tuple, message: str
) -> None:
    path = listed(toy_products, tmp_path / 'x', 'cloth', 'dots', split=split)
    with pytest.raises(ValueError, match=message):
        build(toy_products, split, meta_file=path, metainfo={'classes': classes})


def test_feature_a_product_that_the_test_list_lacks(
    toy_products: Path, tmp_path: Path
) -> None:
    """It is not scored, as an old product whose images are elsewhere."""
    path = listed(toy_products, tmp_path / 'x', 'cloth')
    classes = {'classes': ('cloth', 'wood')}
    found = build(toy_products, 'test', meta_file=path, metainfo=classes)
    assert [info['class_name'] for info in found] == ['cloth'] * 5
    with pytest.raises(ValueError, match=r'has defective images \(3: '):
        build(toy_products, 'train', meta_file=path)


@pytest.mark.parametrize('name', ['cloth/test/cut/000.png', 'cloth/ground_truth/cut'])
def test_exception_listed_file_is_gone(products_copy: Path, name: str) -> None:
    listed(products_copy, products_copy / 'x', 'cloth')
    gone = products_copy / name
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(ValueError, match=r'broken files \(1: .*\(missing file\)'):
        build(products_copy, 'test', meta_file='x')
