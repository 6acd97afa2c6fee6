from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdefect.converters import annotated_shapes
from mmdefect.converters.annotated_shapes import coco_images, fill, labelme_images
from mmdefect.converters.index_masks import from_coco

SIZE = (8, 10)


def draw(root: Path, *shapes: dict[str, Any], line_width: int | None = None):
    """Name, size and drawn shapes of one LabelMe file."""
    content = {
        'imagePath': 'a.png',
        'imageHeight': SIZE[0],
        'imageWidth': SIZE[1],
        'shapes': list(shapes),
    }
    (root / 'labelme').mkdir(exist_ok=True)
    (root / 'labelme/a.json').write_text(json.dumps(content), encoding='utf-8')
    ((name, size, drawn),) = labelme_images(root / 'labelme', line_width=line_width)
    assert (name, size) == ('a', SIZE)
    return list(drawn())


def shape(kind: str | None, points: list, **more: Any) -> dict[str, Any]:
    return {'label': 'crack', 'shape_type': kind, 'points': points, **more}


def block(y1: int, y2: int, x1: int, x2: int) -> np.ndarray:
    found = np.zeros(SIZE, bool)
    found[y1:y2, x1:x2] = True
    return found


OUTLINE = [[2, 1], [6.9, 1], [6.9, 4.2], [2, 4.2]]


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (shape('rectangle', [[7, 4], [2, 1]]), block(1, 4, 2, 7)),
        (shape('polygon', OUTLINE), block(1, 4, 2, 7)),
        (shape(None, OUTLINE), block(1, 4, 2, 7)),  # old LabelMe names no type
        (shape('rectangle', [[-3, -3], [20, 20]]), block(0, 8, 0, 10)),
    ],
)
def test_smoke_labelme(tmp_path: Path, given: dict, expected: np.ndarray) -> None:
    ((label, pixels),) = draw(tmp_path, given)
    assert label == 'crack'
    assert pixels.dtype == bool
    np.testing.assert_array_equal(pixels, expected)


def test_exception_without_pycocotools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'pycocotools', None)
    with pytest.raises(ImportError, match=r'outlines .*; do pip install pycocotools$'):
        fill(np.array([[0, 0], [2, 0], [2, 2]]), (4, 4))


def test_feature_one_outline_is_one_mask(tmp_path: Path) -> None:
    """LabelMe's polygon and rectangle, and COCO's polygon."""
    corners = [[2.3, 1.6], [6.4, 1.6], [6.4, 4.7], [2.3, 4.7]]
    shapes = shape('polygon', corners), shape('rectangle', corners[::2])
    flat = [number for corner in corners for number in corner]
    coco_file = coco(tmp_path / 'coco' / 'a.json', [flat])
    (_, _, layers), _ = coco_images(coco_file)[0]
    drawn = [pixels for _, pixels in [*draw(tmp_path, *shapes), *layers()]]
    assert [found.tolist() for found in drawn] == [block(2, 5, 2, 6).tolist()] * 3


def test_feature_circle(tmp_path: Path) -> None:
    """Centre and a point of the rim: of radius 2 about the corner of four pixels."""
    ((_, pixels),) = draw(tmp_path, shape('circle', [[5, 4], [5, 2]]))
    expected = block(2, 6, 4, 6) | block(3, 5, 3, 7)
    np.testing.assert_array_equal(pixels, expected)


def test_feature_mask(tmp_path: Path) -> None:
    part = np.array([[0, 255, 1], [255, 0, 0]], np.uint8)
    file = io.BytesIO()
    Image.fromarray(part).save(file, 'PNG')
    data = base64.b64encode(file.getvalue()).decode()
    points = [[4, 2], [6, 3]]
    ((_, pixels),) = draw(tmp_path, shape('mask', points, mask=data))
    expected = block(2, 3, 5, 7) | block(3, 4, 4, 5)
    np.testing.assert_array_equal(pixels, expected)
    with pytest.raises(ValueError, match='reaches out of its image'):
        draw(tmp_path, shape('mask', [[8, 2], [10, 3]], mask=data))
    with pytest.raises(ValueError, match='is a mask that cannot be read'):
        draw(tmp_path, shape('mask', points, mask='no image'))


@pytest.mark.parametrize('kind', ['line', 'linestrip'])
def test_feature_lines_need_a_width(tmp_path: Path, kind: str) -> None:
    line = shape(kind, [[1, 4], [8, 4]])
    with pytest.raises(ValueError, match=f'shape 1 is a {kind}, which has no area'):
        draw(tmp_path, line)
    ((_, pixels),) = draw(tmp_path, line, line_width=3)
    assert pixels[3:6, 1:9].all()
    assert not pixels[[0, 1, 7]].any()


LACKS, FAR = 'lacks a label or points', 'no finite numbers near'


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (shape('point', [[1, 1]]), 'shape 1 is a point of 1 points: expected one of'),
        (shape('polygon', [[1, 1], [2, 2]]), 'is a polygon of 2 points'),
        (shape('polygon', [[50, 50], [60, 50], [60, 60]]), "'crack', covers no pixel"),
        ({'shape_type': 'polygon', 'points': []}, f"{LACKS} .*'label'"),
        (shape('polygon', [[1, 2, 3], [4, 5, 6]]), f'{LACKS} .*no pairs'),
        (shape('polygon', 5), LACKS),
        (shape('polygon', [[1, 2], [10**400, 3]]), LACKS),
        (shape('polygon', [[1, 1], [2, float('nan')], [3, 3]]), FAR),
        (shape('polygon', [[1, 1], [2, 1e18], [3, 3]]), FAR),
        (shape('polygon', [[1, 1], [2, None], [3, 3]]), FAR),
        (shape('circle', [[1, 1], [2, float('inf')]]), FAR),
        (shape(5, [[1, 1]]), LACKS),
        (shape('polygon', [[1, 1]], label=None), LACKS),
        (5, 'shape 1 lacks a label or points'),
    ],
)
def test_exception_labelme_shape(tmp_path: Path, given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(tmp_path, given)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_feature_byte_order_marks_and_backslashes(
    tmp_path: Path, encoding: str
) -> None:
    content = {'imageHeight': 8, 'imageWidth': 10, 'shapes': []}
    text = json.dumps({**content, 'imagePath': '..\\images\\Schräge.png'})
    (tmp_path / 'a.json').write_bytes(text.encode(encoding))
    ((name, *_),) = labelme_images(tmp_path, line_width=None)
    assert name == 'Schräge'


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ({'imageHeight': 10**5, 'imageWidth': 10**5}, 'at most 200000000 pixels'),
        ({'imageHeight': 'x'}, "a.json has 'x' as imageHeight: expected the whole"),
        ({'imageHeight': float('inf')}, 'a.json has inf as imageHeight'),
        ({'imageWidth': None}, 'a.json has null as imageWidth'),
        ({'shapes': {}}, 'a.json lacks imagePath or a list of shapes'),
        ({'imagePath': 5}, 'a.json lacks imagePath or a list of shapes'),
        ({'imagePath': '..'}, "a.json names the file '..'.*expected a path within"),
        (None, r'a\.json is no JSON'),
    ],
)
def test_exception_labelme_files(tmp_path: Path, more: Any, message: str) -> None:
    with pytest.raises(FileNotFoundError, match='there is no LabelMe file in'):
        list(labelme_images(tmp_path, line_width=None))
    content = {'imagePath': 'a.png', 'imageHeight': 8, 'imageWidth': 10, 'shapes': []}
    text = json.dumps(content | more) if more else '{'
    (tmp_path / 'a.json').write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        list(labelme_images(tmp_path, line_width=None))


def test_exception_labelme_mask_larger_than_its_image(tmp_path: Path) -> None:
    """Seen in the header, before its pixels take memory."""
    file = io.BytesIO()
    Image.new('L', (11, 3)).save(file, 'PNG')
    mask = base64.b64encode(file.getvalue()).decode()
    with pytest.raises(ValueError, match='ValueError: larger than its image'):
        draw(tmp_path, shape('mask', [[0, 0], [1, 1]], mask=mask))


def coco(path: Path, *segmentations: Any, **more: Any) -> Path:
    """Two images, the second without annotations; classes in no order."""
    content = {
        'images': [
            {'id': 5, 'file_name': 'x/a.jpg', 'height': SIZE[0], 'width': SIZE[1]},
            {'id': 6, 'file_name': 'b.jpg', 'height': 2, 'width': 3},
        ],
        'categories': [{'id': 9, 'name': 'pore'}, {'id': 4, 'name': 'crack'}],
        'annotations': [
            {'id': i, 'image_id': 5, 'category_id': (9, 4)[i % 2], 'segmentation': one}
            for i, one in enumerate(segmentations)
        ],
        **more,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def test_smoke_coco(tmp_path: Path) -> None:
    """Polygons, and runs of either kind; ids follow the category ids."""
    coco_mask = pytest.importorskip('pycocotools.mask')
    corner = np.asfortranarray(block(6, 8, 8, 10).astype(np.uint8))
    packed = coco_mask.encode(corner)
    packed['counts'] = packed['counts'].decode()
    runs = {'size': list(SIZE), 'counts': [0, 8, 72]}  # the first column
    polygon = [[2, 1, 7, 1, 7, 5, 2, 5]]
    masks = from_coco(coco(tmp_path / 'a.json', polygon, packed, runs))
    assert masks.classes == {'crack': 1, 'pore': 2}
    expected = 2 * block(1, 5, 2, 7) + block(6, 8, 8, 10) + 2 * block(0, 8, 0, 1)
    found = cv2.imdecode(np.frombuffer(masks.files['x/a'], np.uint8), -1)
    np.testing.assert_array_equal(found, expected)
    assert masks.empty == ['b']
    assert masks.shapes['b'] == (2, 3)
    masks = from_coco(tmp_path / 'a.json', classes=['pore', 'crack'])
    assert masks.classes == {'pore': 1, 'crack': 2}


@pytest.mark.parametrize(
    ('segmentation', 'message'),
    [
        ([], r'a\.json: the outline of annotation 1 cannot be drawn .*no segmentation'),
        (None, 'annotation 1 cannot be drawn .*no segmentation'),
        ([[1, 2, 3, 4]], 'annotation 1 cannot be drawn .*no list of three or more'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'no list of three or more pairs'),
        ([[1, 2, 3, 4, 5, None]], 'no list of three or more pairs'),
        ([[1, 2, 3, 4, 5, float('nan')]], FAR),
        ([[1, 2, 3, 4, 5, 1e18]], FAR),
        ([[1, 2, 3, 4, 5, 10**400]], 'cannot be drawn .OverflowError'),
        ([[0, 0, 1000, 0, 1000, 9] * 9000], 'outline of .* pixels: expected at most'),
        ({'size': [2, 2], 'counts': [0, 4]}, r'size \[2, 2\], its image has \[8, 10'),
        ({'size': [8, 10], 'counts': [0, 4]}, 'the runs do not add up to the image'),
        ({'size': [8, 10], 'counts': [-1, 81]}, 'the runs do not add up'),
        ({'size': [8, 10], 'counts': [0, None]}, 'the runs do not add up'),
        ({'size': [8, 10], 'counts': 'ä'}, 'packed runs of other characters'),
        ({'size': [8, 10], 'counts': 'o' * 40}, 'packed runs of other characters'),
        ({'size': [8, 10], 'counts': 'o'}, 'packed runs that end in the middle'),
        ({'size': [8, 10], 'counts': 5}, 'the runs do not add up'),
        ({'size': [8, 10]}, "KeyError: 'counts'"),
    ],
)
def test_exception_coco_shape(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_coco(coco(tmp_path / 'a.json', segmentation))


def test_feature_packed_runs_are_unpacked_as_coco_packs_them() -> None:
    coco_mask = pytest.importorskip('pycocotools.mask')
    for seed in range(5):
        rng = np.random.default_rng(seed)
        pixels = np.zeros((700, 90), np.uint8)
        pixels[rng.integers(0, 700, 40), rng.integers(0, 90, 40)] = 1
        pixels[: 100 * seed] ^= 1
        packed = coco_mask.encode(np.asfortranarray(pixels))
        packed['counts'] = packed['counts'].decode()
        found = annotated_shapes._draw_runs(packed, pixels.shape)
        np.testing.assert_array_equal(found, pixels > 0)


def test_exception_coco_file(tmp_path: Path) -> None:
    path = tmp_path / 'a.json'
    with pytest.raises(FileNotFoundError, match='no annotation file'):
        coco_images(path)
    coco(path, categories=[])
    assert coco_images(path)[1] == []
    for more, message in (
        ({'images': [{}]}, r'a\.json: image 1 has the id null: expected'),
        ({'categories': [{'id': 9, 'name': 'pore'}]}, 'annotation 2 .* category 4'),
        ({'images': []}, 'annotation 1 .*names image 5: .* but it lists none'),
    ):
        with pytest.raises(ValueError, match=message):
            coco_images(coco(path, [[1]], [[1]], **more))
