"""Tools around boxes: NEU-DET, DeepPCB, any COCO file, and one file a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.coco import ImageRecord, build_coco
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.testing import make_toy_deeppcb
from tests.helpers.dataset_files import tool

Out = pytest.CaptureFixture[str]
neu_det, deeppcb, coco_tool = (tool(name) for name in ('neu_det', 'deeppcb', 'coco'))
split_classes = tool('split_classes')
BOMB = '<!DOCTYPE a [<!ENTITY x "boom">]><annotation>&x;</annotation>'


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding='utf-8'))


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    return make_toy_deeppcb(tmp_path / 'DeepPCB', train=6, test=3, size=128)


def test_smoke_neu_det(toy_root: Path, tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / 'out'
    assert neu_det(toy_root, '--out', out, '--protocol', '3+3') == 0
    assert [len(read(out / f'{s}.json')['images']) for s in ('train', 'test')] == [
        48,
        12,
    ]
    printed = capsys.readouterr().out
    assert 'train: 48 images' in printed
    assert '  degenerate boxes: 0' in printed
    assert '| 1 | pitted_surface, rolled-in_scale, scratches |' in printed


def test_feature_users_lists(toy_root: Path, tmp_path: Path) -> None:
    names = sorted(p.stem for p in (toy_root / 'IMAGES').iterdir())
    lists = tmp_path / 'train.txt', tmp_path / 'test.txt'
    for path, listed in zip(lists, (names[1:], names[:1]), strict=True):
        path.write_text('\n'.join(listed), encoding='utf-8')
    how = ['--train-list', lists[0], '--test-list', lists[1], '--out', tmp_path / 'out']
    assert neu_det(toy_root, *how) == 0
    images = read(tmp_path / 'out/test.json')['images']
    assert [image['file_name'] for image in images] == ['IMAGES/crazing_1.jpg']
    with pytest.raises(SystemExit):
        neu_det(toy_root, *how[:2])


@pytest.mark.parametrize(
    ('damage', 'options', 'message'),
    [
        (lambda r: (r / 'IMAGES/crazing_1.jpg').unlink(), [], 'no partner in IMAGES'),
        (
            lambda r: (r / 'ANNOTATIONS/crazing_1.xml').write_text(BOMB),
            [],
            'declares XML entities',
        ),
        (lambda r: (r / 'IMAGES').rename(r / 'images'), [], 'there is no folder'),
        (lambda r: None, ['--expect', 'real'], 'expected 1800 as in the real NEU-DET'),
        (lambda r: None, ['--protocol', '3+4'], 'does not add up'),
    ],
)
def test_exception_neu_det(
    toy_copy: Path, capsys: Out, damage, options: list, message: str
) -> None:
    damage(toy_copy)
    assert neu_det(toy_copy, '--out', toy_copy / 'new', *options) == 1
    assert message in capsys.readouterr().out
    assert not (toy_copy / 'new').exists()


def test_smoke_deeppcb(boards: Path, capsys: Out) -> None:
    assert deeppcb(boards, '--protocol', '3+3') == 0
    assert len(read(boards / 'coco/test.json')['images']) == 3
    printed = capsys.readouterr().out
    assert 'train: 6 images' in printed
    assert '| 1 | spur, copper, pin-hole | 6 |' in printed


def test_exception_deeppcb(boards: Path, capsys: Out) -> None:
    (boards / 'PCBData/group00041/00041_not/00041000.txt').unlink()
    assert deeppcb(boards) == 1
    assert '1 listed files are not there' in capsys.readouterr().out
    assert not (boards / 'coco').exists()
    assert deeppcb(boards / 'PCBData') == 1
    assert 'there is no list' in capsys.readouterr().out


def test_exception_a_place_that_cannot_be_written(
    boards: Path, toy_root: Path, capsys: Out
) -> None:
    """As on a read-only disk: one sentence that names the place."""
    place = boards / 'coco'
    place.write_text('a file where the folder would be', encoding='utf-8')
    for convert, root in ((deeppcb, boards), (neu_det, toy_root)):
        assert convert(root, '--out', place) == 1
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith(f'ERROR: {place}: expected a place that can be read and')
        assert last.endswith('or write elsewhere with --out')


@pytest.fixture
def coco() -> dict[str, Any]:
    objects = [('x', (0, 0, 5, 5)), ('y', (5, 5, 9, 9))]
    return build_coco([ImageRecord('a.jpg', 9, 9, objects)], ['x', 'y'], title='t')[0]


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / 'source.json', tmp_path / 'new/target.json'


def test_smoke_coco(coco: dict[str, Any], paths: tuple[Path, Path]) -> None:
    save_json(coco, paths[0])
    assert coco_tool(*paths, '--classes', 'y', 'x', '--protocol', '1+1') == 0
    new = read(paths[1])
    assert [c['name'] for c in new['categories']] == ['y', 'x']
    assert [a['category_id'] for a in new['annotations']] == [2, 1]


@pytest.mark.parametrize('options', [[], ['--renumber']])
def test_feature_what_is_written_is_put_right(
    coco: dict[str, Any], paths: tuple[Path, Path], options: list[str]
) -> None:
    """What the dataset and the metric would do when reading, stands in the file."""
    coco['images'][0] |= {'file_name': 'b\\a.jpg', 'id': 'first'}
    for box in coco['annotations']:
        box |= {'id': 0, 'image_id': 'first', 'iscrowd': 'false', 'area': None}
    save_json(coco, paths[0])
    assert coco_tool(*paths, *options) == 0
    (image,), boxes = (read(paths[1])[key] for key in ('images', 'annotations'))
    assert (image['id'], image['file_name']) == (1, 'b/a.jpg')
    found = [(b['id'], b['image_id'], b['iscrowd'], b['area']) for b in boxes]
    assert found == [(1, 1, 0, 25), (2, 1, 0, 16)]


def test_exception_coco(
    coco: dict[str, Any], paths: tuple[Path, Path], capsys: Out
) -> None:
    def refused(*argv: Any) -> str:
        assert coco_tool(*argv) == 1
        assert not paths[1].exists()
        return capsys.readouterr().out

    assert 'no annotation file' in refused(*paths)
    save_json(coco, paths[0])
    said = refused(*paths, '--image-root', paths[0].parent)
    assert '1 of 1 image files are not under' in said
    assert 'is a folder' in refused(paths[0].parent, paths[1])
    coco['annotations'][0]['score'] = float('nan')  # a field of no meaning
    paths[0].write_text(json.dumps(coco), encoding='utf-8')
    assert 'target.json would hold NaN' in refused(*paths)
    save_json({'images': []}, paths[0])
    for options in ([], ['--renumber'], ['--protocol', '1+1']):
        assert "has no 'annotations', 'categories'" in refused(*paths, *options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four images: x, y, x and y, z."""
    records = [
        ImageRecord(f'{i}.jpg', 9, 9, [(name, (0, 0, 5, 5)) for name in names])
        for i, names in enumerate(['x', 'y', 'xy', 'z'])
    ]
    path = tmp_path / 'train.json'
    save_json(build_coco(records, ['x', 'y', 'z'], title='train')[0], path)
    return path


@pytest.mark.parametrize(
    ('mode', 'images', 'boxes'),
    [('overlap', 3, 3), ('disjoint', 2, 2), ('relabel', 3, 4)],
)
def test_smoke_split_classes(source: Path, mode: str, images: int, boxes: int) -> None:
    assert split_classes(source, '--protocol', '1+2', '--mode', mode) == 0
    step = read(source.parent / 'train_step1.json')
    assert (len(step['images']), len(step['annotations'])) == (images, boxes)
    assert [c['name'] for c in step['categories']] == ['x', 'y', 'z']


def test_feature_class_lists_and_table(source: Path, capsys: Out) -> None:
    out = source.parent / 'steps'
    assert split_classes(source, '--steps', 'z,x', 'y', '--out', out) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ['train_step0.json', 'train_step1.json']
    assert '| 1 | y | 2 | 2 | 1 (50.0%) | 0 (0.0%) |' in capsys.readouterr().out


def test_exception_split_classes(source: Path, capsys: Out) -> None:
    coco = read(source)
    coco['annotations'] = [a for a in coco['annotations'] if a['category_id'] != 3]
    save_json(coco, source)
    for options, message in (
        (['--protocol', '2+2'], 'does not add up'),
        (['--steps', 'x', 'yy'], "unknown class 'yy'"),
        (['--protocol', '2+1'], "keep=['z'], mode='overlap': expected at least one im"),
    ):
        assert split_classes(source, *options) == 1
        assert message in capsys.readouterr().out
        assert not list(source.parent.glob('train_step*'))
