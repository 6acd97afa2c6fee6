"""A COCO set cut into tiles: which boxes each shows, which tiles are kept."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmdefect.cli.arguments import tile_of
from mmdefect.converters.tile_rule import TileRule
from mmdefect.converters.tiles import cut_into_tiles
from mmdefect.datasets.boxes.coco_file import read_coco
from mmdefect.deploy.tiling import Tiling
from tests.conftest import load_tool

TOOL = 'tools/dataset_converters/tiles.py'


def written(
    root: Path, boxes: dict[str, list], size: tuple[int, int] = (100, 60)
) -> Path:
    """Images whose pixels differ, and their COCO file."""
    width, height = size
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for number, (name, rows) in enumerate(boxes.items(), 1):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (height, width, 3), np.uint8))
        entry = {'id': number, 'file_name': name, 'width': width, 'height': height}
        images.append(entry)
        for x1, y1, x2, y2, *crowd in rows:
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': 7,
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': (x2 - x1) * (y2 - y1),
                    'iscrowd': int(bool(crowd)),
                    'segmentation': [[x1, y1, x2, y1, x2, y2]],
                }
            )
    content = {
        'images': images,
        'annotations': annotations,
        'categories': [{'id': 7, 'name': 'spot'}],
    }
    path = root / 'set.json'
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def cut(path: Path, out: Path, **rule: Any) -> tuple[dict[str, Any], str]:
    """Cut into tiles of 60 with 20 pixels in common; the file and its summary."""
    options = {'tiling': Tiling(size=60, overlap=20), 'keep_empty': 1.0, **rule}
    reports = cut_into_tiles(
        read_coco(path), path.parent, out, rule=TileRule(**options)
    )
    (out / 'checked').mkdir()
    return read_coco(out / 'tiles.json'), str(reports['tiles'])


def shown(coco: dict[str, Any]) -> dict[str, list]:
    """Boxes of each tile: x1, y1, x2, y2, iscrowd."""
    names = {image['id']: image['file_name'] for image in coco['images']}
    found: dict[str, list] = {name: [] for name in names.values()}
    for box in coco['annotations']:
        x, y, w, h = box['bbox']
        row = [x, y, x + w, y + h, box['iscrowd']]
        found[names[box['image_id']]].append(row)
    return found


def test_smoke(tmp_path) -> None:
    """Two tiles of 60 pixels of an image of 100: 0 to 60 and 40 to 100."""
    path = written(tmp_path, {'a.png': [(45, 10, 55, 20), (70, 30, 90, 40)]})
    coco, text = cut(path, tmp_path / 'out')
    assert shown(coco) == {
        'images/a_png_x0_y0.png': [[45, 10, 55, 20, 0]],
        'images/a_png_x40_y0.png': [[5, 10, 15, 20, 0], [30, 30, 50, 40, 0]],
    }
    whole = cv2.imread(str(tmp_path / 'a.png'))
    for image in coco['images']:
        tile = cv2.imread(str(tmp_path / 'out' / image['file_name']))
        x, y, w, h = image['tile']
        assert (w, h) == (image['width'], image['height']) == (60, 60)
        assert image['source'] == 'a.png'
        np.testing.assert_array_equal(tile, whole[y : y + h, x : x + w])
    assert not any('segmentation' in box for box in coco['annotations'])
    assert text.startswith('tiles: 2 images, 3 boxes (spot 3)')


def test_feature_visible_share(tmp_path) -> None:
    """Of a box from 52 to 72 the first tile shows 0.4, of one from 51 on 0.45."""
    path = written(tmp_path, {'a.png': [(52, 10, 72, 20), (51, 40, 71, 50)]})
    coco, text = cut(path, tmp_path / 'out', min_visible=0.45)
    assert shown(coco)['images/a_png_x0_y0.png'] == [
        [52, 10, 60, 20, 1],
        [51, 40, 60, 50, 0],
    ]
    assert '1 boxes of which a tile shows less than 0.45 were marked iscrowd' in text
    coco, text = cut(path, tmp_path / 'drop', min_visible=0.45, drop=True)
    assert shown(coco)['images/a_png_x0_y0.png'] == [[51, 40, 60, 50, 0]]
    assert '1 boxes of which a tile shows less than 0.45 were left out' in text


def test_feature_regions_and_slivers(tmp_path) -> None:
    """A region to be ignored stays one; less than a pixel is nothing."""
    path = written(
        tmp_path,
        {'a.png': [(50, 0, 100, 60, 1), (59.5, 10, 80, 20), (2, 2, 9, 9)]},
    )
    coco, text = cut(path, tmp_path / 'out')
    assert shown(coco)['images/a_png_x0_y0.png'] == [
        [50, 0, 60, 60, 1],
        [2, 2, 9, 9, 0],
    ]
    assert '1 of less than a pixel left out' in text


def test_feature_tiles_that_show_only_pieces(tmp_path) -> None:
    """Neither background nor a defect to learn; and boxes that no tile shows."""
    path = written(tmp_path, {'a.png': [(55, 10, 75, 20)], 'b.png': [(0, 0, 100, 9)]})
    coco, text = cut(path, tmp_path / 'out', min_visible=0.7)
    assert list(shown(coco)) == ['images/a_png_x40_y0.png']
    assert '3 tiles that show nothing but such boxes were left out' in text
    assert 'no tile shows 0.7 of some boxes' in text
    assert '1: b.png [0, 0, 100, 9]' in text


def test_feature_empty_tiles(tmp_path) -> None:
    names = {f'{k}.png': [(2, 2, 20, 20)] for k in range(40)}
    path = written(tmp_path, names)
    counts = []
    for share in (0.0, 0.5, 1.0):
        coco, text = cut(path, tmp_path / f'out{share}', keep_empty=share)
        counts.append(len(coco['images']) - 40)
        assert f'{40 - counts[-1]} tiles without a box were left out' in text
    assert counts[0] == 0
    assert 10 < counts[1] < 30
    assert counts[2] == 40
    # Which ones does not hang on the other images.
    few = written(tmp_path / 'few', dict(list(names.items())[:10]))
    coco, _ = cut(few, tmp_path / 'again', keep_empty=0.5)
    more, _ = cut(path, tmp_path / 'more', keep_empty=0.5)
    assert set(shown(coco)) <= set(shown(more))


def test_feature_split_by_image(tmp_path, capsys) -> None:
    names = {f'line/{k}.png': [(45, 2, 55, 20)] for k in range(10)}
    path = written(tmp_path, names)
    tool = load_tool(TOOL)
    args = [path, '--out', tmp_path / 'out', '--size', 60, 50, '--overlap', 20]
    args += ['--val-share', 0.2, '--images', tmp_path]
    assert tool.main([str(arg) for arg in args]) == 0
    files = {n: read_coco(tmp_path / f'out/{n}.json') for n in ('train', 'val')}
    sources = {n: {i['source'] for i in c['images']} for n, c in files.items()}
    assert {n: len(s) for n, s in sources.items()} == {'train': 8, 'val': 2}
    assert not sources['train'] & sources['val']
    for coco in files.values():
        for image in coco['images']:
            assert (tmp_path / 'out' / image['file_name']).is_file()
    said = capsys.readouterr()
    assert 'train: 32 images, 16 boxes' not in said.out  # empty rows are thinned out
    assert f'wrote {tmp_path}/out/val.json' in said.out
    assert 'pictures' in said.err


def test_feature_the_folder_of_images_is_found(tmp_path, capsys) -> None:
    """Beside the file, or above it as our converters write it."""
    path = written(tmp_path, {'img/a.png': [(45, 2, 55, 20)]})
    moved = tmp_path / 'coco/train.json'
    moved.parent.mkdir()
    path.rename(moved)
    args = [str(moved), '--out', str(tmp_path / 'out'), '--size', '60']
    assert load_tool(TOOL).main(args) == 0
    assert (tmp_path / 'out/train.json').is_file()
    assert (tmp_path / 'out/images/img/a_png_x0_y0.png').is_file()


def test_feature_its_help_names_an_option_that_predict_reads() -> None:
    _, _, after = load_tool(TOOL).__doc__.partition('``mmdefect predict ... --tile ')
    named = after.partition('``')[0]
    assert tile_of(Namespace(tile=named)) == {'size': 800, 'overlap': 128}


def test_exception(tmp_path, capsys) -> None:
    path = written(tmp_path / 'set', {'a.png': [(45, 2, 55, 20)], 'b.png': []})
    large = written(tmp_path / 'large', {'a.png': []}, size=(131, 72))
    tool = load_tool(TOOL)

    def refused(*more: object, out: str = 'out', file: Path = path) -> str:
        args = [file, '--out', tmp_path / out, '--size', 60, *more]
        assert tool.main([str(arg) for arg in args]) == 1
        assert not (tmp_path / 'out').exists()
        assert not (tmp_path / 'out.part').exists()
        return capsys.readouterr().out

    assert 'ERROR: tile overlap=60: expected' in refused('--overlap', 60)
    assert 'ERROR: tile size=20: expected at least 32' in refused('--size', 20)
    assert 'at most 4096 tiles an image, not the 4100 of 131x72 pixels' in refused(
        '--size', 32, '--overlap', 31, file=large
    )
    assert 'ERROR: min_visible=0.0: expected more than 0' in refused('--min-visible', 0)
    assert 'ERROR: val_share=0.9 of 2 images' in refused('--val-share', 0.9)
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full/x').touch()
    assert 'holds something already' in refused(out='full')
    nothing = written(tmp_path / 'nothing', {'a.png': []})
    assert 'set.json would hold no tile' in refused('--keep-empty', 0, file=nothing)
    (tmp_path / 'set/b.png').write_bytes(b'no image')
    assert 'cannot load the image' in refused('--keep-empty', 1)
    (tmp_path / 'set/b.png').unlink()
    assert 'cannot load the image' in refused('--keep-empty', 1)
    content = json.loads(path.read_text(encoding='utf-8'))
    content['images'][1]['file_name'] = 'A.png'
    path.write_text(json.dumps(content), encoding='utf-8')
    assert 'names that differ by case alone' in refused()
