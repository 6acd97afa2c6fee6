from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.index_masks import from_coco, from_labelme, from_png
from mmdefect.converters.mask_output import Masks, compare_with_images, write_masks
from mmdefect.datasets.index_masks.dataset import PairedMaskDataset


def picture(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.asarray(pixels)
    kind = np.uint16 if array.dtype == np.uint16 else np.uint8
    Image.fromarray(array.astype(kind)).save(path)


def decoded(masks: Masks, tmp_path: Path) -> dict[str, list]:
    """What is written, read again."""
    write_masks(masks, tmp_path / 'out')
    assert json.loads((tmp_path / 'out/classes.json').read_text()) == masks.classes
    root = tmp_path / 'out/masks'
    found = {}
    for path in sorted(root.rglob('*.png')):
        with Image.open(path) as image:
            assert image.mode == 'L'
            found[path.relative_to(root).as_posix()] = np.asarray(image).tolist()
    return found


def test_smoke(tmp_path: Path) -> None:
    """Every value its own class, in the order of the values over all files."""
    picture(tmp_path / 'in/a.png', [[0, 255, 128]])
    picture(tmp_path / 'in/deep/b.png', [[7, 0, 0]])
    picture(tmp_path / 'in/c.png', [[0, 0]])
    masks = from_png(tmp_path / 'in')
    assert masks.classes == {'value_7': 1, 'value_128': 2, 'value_255': 3}
    assert str(masks).splitlines() == [
        '3 masks',
        '  1 value_7: 1 pixels in 1 masks',
        '  2 value_128: 1 pixels in 1 masks',
        '  3 value_255: 1 pixels in 1 masks',
        '  masks without any class: 1: c',
    ]
    assert decoded(masks, tmp_path) == {
        'a.png': [[0, 3, 2]],
        'c.png': [[0, 0]],
        'deep/b.png': [[1, 0, 0]],
    }


def test_feature_values_by_name(tmp_path: Path) -> None:
    picture(tmp_path / 'in/a.png', [[0, 255, 128]])
    masks = from_png(tmp_path / 'in', values={'crack': '255', 'pore': '128'})
    assert masks.classes == {'crack': 1, 'pore': 2}
    assert decoded(masks, tmp_path) == {'a.png': [[0, 1, 2]]}


def test_feature_colours(tmp_path: Path) -> None:
    """Grey pixels of a colour picture are grey values; blue 255 is not 255."""
    row = [[0, 0, 0], [255, 0, 0], [0, 0, 255], [255, 255, 255], [1, 0, 0]]
    picture(tmp_path / 'in/a.png', [row])
    picture(tmp_path / 'in/b.png', [[0, 255]])
    masks = from_png(tmp_path / 'in')
    assert list(masks.classes) == ['value_255', '#0000ff', '#010000', '#ff0000']
    assert decoded(masks, tmp_path) == {'a.png': [[0, 4, 2, 1, 3]], 'b.png': [[0, 1]]}
    names = {'a': '#FF0000', 'b': '#0000ff', 'c': '#ffffff', 'd': '#010000'}
    masks = from_png(tmp_path / 'in', values=names)
    assert not masks.errors
    assert masks.pixels == {'a': 1, 'b': 1, 'c': 2, 'd': 1}


def test_feature_sixteen_bits_and_palettes(tmp_path: Path) -> None:
    picture(tmp_path / 'in/a.png', np.array([[0, 40000]], np.uint16))
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([5, 5, 5, 200, 0, 0])
    image.save(tmp_path / 'in/b.png')
    masks = from_png(tmp_path / 'in')
    assert list(masks.classes) == ['value_1', 'value_40000']
    assert decoded(masks, tmp_path) == {'a.png': [[0, 2]], 'b.png': [[0, 1]]}


def test_exception_values(tmp_path: Path) -> None:
    picture(tmp_path / 'in/a.png', [[0, 255, 128, 3]])
    (error,) = from_png(tmp_path / 'in', values={'crack': '255'}).errors
    assert 'a.png holds values of no class (2: value_3, value_128)' in error
    for values, message in (
        ({'crack': '255', 'pore': '255'}, r'expected different ones for .*, and not 0'),
        ({'crack': '0'}, r'expected different ones for .*, and not 0'),
        ({'crack': '#fff'}, "has the value '#fff': expected a grey value"),
        ({'crack': '-1'}, "has the value '-1'"),
    ):
        with pytest.raises(ValueError, match=message):
            from_png(tmp_path / 'in', values=values)


def test_exception_too_many_values(tmp_path: Path) -> None:
    picture(tmp_path / 'in/a.png', [list(range(127))])
    assert len(from_png(tmp_path / 'in').classes) == 126
    picture(tmp_path / 'in/a.png', [list(range(128))])
    with pytest.raises(ValueError, match=r'more than 126 values.*antialiased or JPEG'):
        from_png(tmp_path / 'in')


def test_exception_nothing_to_see(tmp_path: Path) -> None:
    picture(tmp_path / 'in/a.png', [[0, 0]])
    with pytest.raises(ValueError, match=r'classes=\[\] \(0\): expected 1 to 126'):
        from_png(tmp_path / 'in')
    (tmp_path / 'in/a.png').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'annot read the mask .*a\.png'):
        from_png(tmp_path / 'in')


def square(label: str, low: int, high: int) -> dict[str, Any]:
    points = [[low, low], [high, high]]
    return {'label': label, 'shape_type': 'rectangle', 'points': points}


def labelme(path: Path, *shapes: dict, image: str = '', size: tuple = (6, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        'imagePath': image or f'{path.stem}.jpg',
        'imageHeight': size[0],
        'imageWidth': size[1],
        'shapes': list(shapes),
    }
    path.write_text(json.dumps(content), encoding='utf-8')


def test_feature_the_later_shape_is_on_top(tmp_path: Path) -> None:
    shapes = square('pore', 0, 2), square('crack', 1, 3)
    labelme(tmp_path / 'in/a.json', *shapes, size=(4, 4))
    masks = from_labelme(tmp_path / 'in', classes=['crack', 'pore'])
    assert decoded(masks, tmp_path)['a.png'] == [
        [2, 2, 0, 0],
        [2, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
    ]


def test_feature_classes_are_sorted_by_default(tmp_path: Path) -> None:
    labelme(tmp_path / 'in/a.json', square('pore', 0, 2), square('crack', 1, 3))
    labelme(tmp_path / 'in/b.json', square('a', 0, 2))
    assert from_labelme(tmp_path / 'in').classes == {'a': 1, 'crack': 2, 'pore': 3}


def test_exception_unknown_class(tmp_path: Path) -> None:
    labelme(tmp_path / 'in/a.json', square('crakc', 0, 2))
    (error,) = from_labelme(tmp_path / 'in', classes=['crack']).errors
    assert error.startswith("unknown classes (1: 'crakc' of a): expected one of crack;")


@pytest.mark.parametrize('name', ['/home/a.png', 'C:\\a.png', '../a.png', 'b/../../a'])
def test_exception_coco_image_elsewhere(tmp_path: Path, name: str) -> None:
    """Its mask would be written there, over the image."""
    image = {'id': 1, 'file_name': name, 'height': 2, 'width': 2}
    content = {'images': [image], 'categories': [], 'annotations': []}
    content['categories'] = [{'id': 1, 'name': 'crack'}]
    (tmp_path / 'coco.json').write_text(json.dumps(content), encoding='utf-8')
    with pytest.raises(ValueError, match='a path within the folder'):
        from_coco(tmp_path / 'coco.json')
    image['file_name'] = 'b\\a.png'
    (tmp_path / 'coco.json').write_text(json.dumps(content), encoding='utf-8')
    assert list(from_coco(tmp_path / 'coco.json').files) == ['b/a']


def test_feature_the_data_set_reads_what_is_written(tmp_path: Path) -> None:
    labelme(tmp_path / 'in/a.json', square('crack', 0, 2))
    picture(tmp_path / 'images/a.jpg', np.zeros((6, 6, 3)))
    masks = from_labelme(tmp_path / 'in')
    compare_with_images(masks, tmp_path / 'images')
    assert masks.errors == []
    write_masks(masks, tmp_path / 'out')
    names = json.loads((tmp_path / 'out/classes.json').read_text(encoding='utf-8'))
    prefix = {'img': f'{tmp_path}/images', 'mask': f'{tmp_path}/out/masks'}
    how = {'metainfo': {'mask_classes': names}, 'target_classes': ['crack']}
    assert len(PairedMaskDataset(data_prefix=prefix, **how)) == 1
