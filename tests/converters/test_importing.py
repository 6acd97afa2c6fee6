"""Annotations of every tool become the same COCO file; what is odd is said."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.annotated import enclosing, turned_box
from mmdefect.converters.box_split import VAL_SHARE, draw_val
from mmdefect.converters.coco import ImageRecord
from mmdefect.converters.formats import TITLES, files_by_format
from mmdefect.converters.import_options import FORMATS, add_import_options
from mmdefect.converters.importing import Imported, convert, import_boxes
from tests.helpers.annotation_files import (
    CLASSES,
    HEIGHT,
    SIZE,
    WIDTH,
    WRITERS,
    boxes_of,
    draw,
    write_json,
    write_text,
)

COUNT = 8


@pytest.fixture(scope='module')
def all_formats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a format, of the same images; read-only."""
    root = tmp_path_factory.mktemp('formats')
    for kind, write in WRITERS.items():
        write(root / kind, COUNT)
    return root


def boxes_in(imported: Imported) -> dict[str, list[Any]]:
    """File name without folder -> class and box of its objects."""
    return {Path(record.file_name).name: record.objects for record in imported.records}


@pytest.mark.parametrize('kind', WRITERS)
def test_feature_every_format_says_the_same(all_formats: Path, kind: str) -> None:
    imported = import_boxes(all_formats / kind)
    assert not imported.errors
    assert imported.format == TITLES[kind]
    assert imported.classes == CLASSES
    found = boxes_in(imported)
    assert set(found) == {f'part {number}.png' for number in range(COUNT)}
    for number in range(COUNT):
        wanted = boxes_of(number)
        own = found[f'part {number}.png']
        assert [name for name, _ in own] == [name for name, _ in wanted]
        for (_, box), (_, real) in zip(own, wanted, strict=True):
            assert box == pytest.approx(real, abs=0.01)
    assert {(r.width, r.height) for r in imported.records} == {SIZE}
    (train, report), (val, _) = convert(imported).values()
    assert len(train['images']) + len(val['images']) == COUNT
    assert f'read as {TITLES[kind]}' in report.notes


@pytest.mark.parametrize('kind', WRITERS)
def test_feature_a_format_is_known_by_its_files(all_formats: Path, kind: str) -> None:
    assert set(files_by_format(all_formats / kind)) == {kind}


def test_exception_several_formats(all_formats: Path) -> None:
    with pytest.raises(ValueError, match=r'holds 6 formats at once, COCO \(instances'):
        import_boxes(all_formats)
    chosen = import_boxes(all_formats, kind='cvat', images=all_formats / 'cvat')
    assert len(chosen.records) == COUNT
    with pytest.raises(FileNotFoundError, match="format='voc': expected Pascal VOC f"):
        import_boxes(all_formats / 'cvat', kind='voc')
    with pytest.raises(ValueError, match="format='x': expected one of auto, coco"):
        import_boxes(all_formats / 'cvat', kind='x')


def test_exception_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        import_boxes(tmp_path / 'no')
    draw(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match='holds no annotations: expected ann'):
        import_boxes(tmp_path)


def test_feature_annotations_elsewhere(all_formats: Path, tmp_path: Path) -> None:
    """An export of Label Studio comes without its images."""
    file = shutil.copy(all_formats / 'label-studio/project-1.json', tmp_path)
    imported = import_boxes(Path(file), images=all_formats / 'labelme')
    assert not imported.errors
    assert len(imported.records) == COUNT


def test_feature_order_and_use_of_classes(all_formats: Path, tmp_path: Path) -> None:
    root = shutil.copytree(all_formats / 'yolo', tmp_path / 'a')
    assert import_boxes(root, classes=CLASSES[::-1]).classes == CLASSES[::-1]
    (error,) = import_boxes(root, classes=['dent']).errors
    assert "has boxes of 'scratch': expected one of dent; give all classes" in error
    write_text(root / 'data.yaml', 'names: [dent, scratch, rust]\n')
    imported = import_boxes(root)
    assert imported.classes == CLASSES
    assert imported.notes[0].startswith('classes without a box (1: rust) are left out')
    assert import_boxes(root, classes=[*CLASSES, 'rust']).classes[2] == 'rust'
    (root / 'data.yaml').unlink()
    with pytest.raises(FileNotFoundError, match=r'neither data.yaml nor classes.txt'):
        import_boxes(root)
    assert boxes_in(import_boxes(root, classes=['x', 'y']))['part 1.png'][1][0] == 'y'


def labelme_file(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding='utf-8'))
    write_json(path, {**content, **changes})


@pytest.fixture
def parts(all_formats: Path, tmp_path: Path) -> Path:
    """LabelMe's files, to be spoiled."""
    return Path(shutil.copytree(all_formats / 'labelme', tmp_path / 'parts'))


def rectangle(label: Any, *corners: Any) -> dict[str, Any]:
    return {'label': label, 'shape_type': 'rectangle', 'points': list(corners)}


def test_exception_classes_that_differ_by_case(parts: Path) -> None:
    shape = rectangle('Dent ', [1, 1], [9, 9])
    labelme_file(parts / 'part 1.json', shapes=[shape])
    (error,) = import_boxes(parts).errors
    assert error.startswith("the classes 'dent' (")
    assert "part 0.json) and 'Dent' (" in error
    assert 'part 1.json) differ in upper and lower case only' in error


def test_exception_images(parts: Path) -> None:
    """Missing, unreadable, of another size, annotated twice: each with its count."""
    (parts / 'part 0.png').unlink()
    (parts / 'part 1.png').write_bytes(b'nothing')
    (parts / 'part 2.png').write_bytes((parts / 'part 3.png').read_bytes()[:40])
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(parts / 'part 4.png')
    shutil.copy(parts / 'part 5.json', parts / 'again.json')
    errors = import_boxes(parts).errors
    for count, words in (
        (1, 'annotated images that are not there (1: part 0.png ('),
        (1, 'images that are annotated more than once (1: part 5.png ('),
        (1, 'broken files (2: '),
        (1, 'images that are not what is annotated (1: '),
    ):
        assert sum(words in error for error in errors) == count, errors
    assert len(errors) == 4


def test_feature_boxes_that_reach_out(parts: Path) -> None:
    """As of every converter: clipped and counted, dropped and counted."""
    shapes = [
        rectangle('dent', [-9, 5], [20, 20]),
        rectangle('dent', [200, 5], [220, 20]),
        rectangle('dent', [30, 30], [30.4, 40]),
    ]
    labelme_file(parts / 'part 3.json', shapes=shapes)
    imported = import_boxes(parts)
    assert not imported.errors
    reports = [report for _, report in convert(imported).values()]
    assert sum(len(report.out_of_frame) for report in reports) == 1
    assert sum(len(report.degenerate) for report in reports) == 2


def test_feature_what_is_marked_without_a_box_is_not_good(parts: Path) -> None:
    """Outside, without area, or a point alone: left out, by name, before the split."""
    point = {'label': 'dent', 'points': [[1, 2]], 'shape_type': 'point'}
    for number, shape in enumerate(
        (
            rectangle('dent', [200, 5], [220, 20]),
            rectangle('dent', [30, 30], [30.4, 40]),
            point,
        )
    ):
        labelme_file(parts / f'part {number}.json', shapes=[shape])
    imported = import_boxes(parts)
    assert not imported.errors
    assert set(boxes_in(imported)) == {f'part {k}.png' for k in range(3, COUNT)}
    (note,) = (note for note in imported.notes if note.startswith('images left out'))
    assert note.endswith('3: part 0.png, part 1.png, part 2.png')
    converted = convert(imported)
    names = [i['file_name'] for coco, _ in converted.values() for i in coco['images']]
    assert len(names) == COUNT - 3
    for path in parts.glob('*.json'):
        labelme_file(path, shapes=[point])
    (error,) = import_boxes(parts).errors
    assert error.startswith(f'{parts} holds no box: expected some to learn from')


def test_feature_images_without_annotations(parts: Path) -> None:
    (parts / 'part 2.json').unlink()
    imported = import_boxes(parts)
    assert imported.unlabelled == ['part 2.png']
    assert len(imported.records) == COUNT - 1
    assert 'images without annotations, left out: 1: part 2.png' in imported.notes[-1]
    taken = import_boxes(parts, take_unlabelled=True)
    assert boxes_in(taken)['part 2.png'] == []
    assert not taken.unlabelled


def test_feature_a_damaged_file_beside_its_image(parts: Path) -> None:
    """What is left of it may not say which tool it was of."""
    (parts / 'part 2.json').write_text('{"vers', encoding='utf-8')
    (error,) = import_boxes(parts).errors
    assert 'part 2.json is no JSON' in error


def test_feature_folders_of_annotations_beside_images(tmp_path: Path) -> None:
    """`..` within the folder is what LabelMe writes; the nearest of two is meant."""
    for subset in ('train', 'val'):
        folder = tmp_path / subset
        WRITERS['labelme'](folder / 'images', 4)
        (folder / 'json').mkdir()
        for path in (folder / 'images').glob('*.json'):
            labelme_file(path, imagePath=f'..\\images\\{path.stem}.png')
            path.rename(folder / 'json' / path.name)
    imported = import_boxes(tmp_path)
    assert not imported.errors
    assert set(imported.subsets.values()) == {'train', 'val'}
    assert set(convert(imported)) == {'train', 'val'}
    mixed = convert(imported, val_share=0.25)
    assert 'identical files, all of them in training: 4: ' in str(mixed['train'][1])


def test_feature_shapes_of_labelme(parts: Path) -> None:
    shapes = [
        {'label': 7, 'points': [[9, 9], [9, 4]], 'shape_type': 'circle'},
        {'label': '7', 'points': [[1, 2], [30, 40]], 'shape_type': 'mask'},
        {'label': '7', 'points': [[1, 2]], 'shape_type': 'point'},
        {'label': '7', 'points': [[1, 2], [3, 4]], 'shape_type': 'line'},
    ]
    labelme_file(
        parts / 'part 3.json', shapes=shapes, imageWidth=None, imageHeight=None
    )
    imported = import_boxes(parts)
    assert boxes_in(imported)['part 3.png'] == [
        ('7', (4, 4, 14, 14)),
        ('7', (1, 2, 30, 40)),
    ]
    assert 'passed over, as it has no box: 1 point, 1 line' in imported.notes


def test_feature_shapes_and_tracks_of_cvat(tmp_path: Path) -> None:
    size = f'<width>{WIDTH}</width><height>{HEIGHT}</height>'
    box = '<box frame="{}" outside="{}" xtl="10" ytl="20" xbr="30" ybr="40"{}/>'
    shapes = [
        box.format(0, 0, ''),
        box.format(1, 1, ''),
        box.format(2, 0, ' rotation="90"'),
        '<points frame="2" outside="0" points="1,2"/>',
        '<ellipse frame="3" outside="0" cx="20" cy="20" rx="5" ry="3"/>',
        '<mask frame="3" outside="0" left="4" top="5" width="6" height="7"/>',
    ]
    text = (
        f'<annotations><meta><task><original_size>{size}</original_size></task></meta>'
        f'<track id="0" label="dent">{"".join(shapes)}</track></annotations>'
    )
    write_text(tmp_path / 'annotations.xml', text)
    for number, name in enumerate(draw(tmp_path, 4)):
        (tmp_path / name).rename(tmp_path / f'frame_{number:06}.PNG')
    imported = import_boxes(tmp_path)
    assert not imported.errors
    found = boxes_in(imported)
    assert found['frame_000000.PNG'] == [('dent', (10, 20, 30, 40))]
    assert found['frame_000002.PNG'] == [('dent', (10, 20, 30, 40))]
    assert [b for _, b in found['frame_000003.PNG']] == [
        (15, 17, 25, 23),
        (4, 5, 10, 12),
    ]
    assert imported.unlabelled == ['frame_000001.PNG']
    assert 'passed over, as it has no box: 1 points' in imported.notes
    points = '<points frame="1" outside="0" points="1,2"/></track>'
    write_text(tmp_path / 'annotations.xml', text.replace('</track>', points))
    taken = import_boxes(tmp_path, take_unlabelled=True)
    assert 'frame_000001.PNG' not in boxes_in(taken)


def test_feature_turned_boxes() -> None:
    assert turned_box((0, 0, 4, 2), 0) == (0, 0, 4, 2)
    assert turned_box((0, 0, 4, 2), 90) == pytest.approx((1, -1, 3, 3))
    # Label Studio turns about the corner, clockwise on the screen.
    assert turned_box((0, 0, 4, 2), 90, (0, 0)) == pytest.approx((-2, 0, 0, 4))
    assert enclosing([[1, 5], [3, 2], [2, 9]], 'x') == (1, 2, 3, 9)


def region(**changes: Any) -> dict[str, Any]:
    value = {'x': 10, 'y': 25, 'width': 50, 'height': 50}
    found = {'type': 'rectanglelabels', 'value': {**value, 'rectanglelabels': ['a']}}
    found |= {'original_width': WIDTH, 'original_height': HEIGHT, 'from_name': 'l'}
    return {**found, **changes}


@pytest.mark.parametrize(
    'link',
    [
        'part 0.png',
        '/data/upload/3/1a2b3c4d-part 0.png',
        '/data/local-files/?d=photos%2Fpart%200.png',
        's3://bucket/photos/part 0.png',
        'https://somewhere/a/part%200.png?token=1',
        'photos\\part 0.png',
    ],
)
def test_feature_links_of_label_studio(tmp_path: Path, link: str) -> None:
    draw(tmp_path / 'photos', 1)
    ellipse = {'x': 50, 'y': 50, 'radiusX': 25, 'radiusY': 25}
    results = [
        region(),
        region(type='ellipselabels', value={**ellipse, 'ellipselabels': ['a']}),
        region(type='choices', value={'choices': ['x']}),
    ]
    cancelled = {'was_cancelled': True, 'result': [region(value=None)]}
    tasks = [
        {
            'id': 1,
            'data': {'text': 'a', 'image': link},
            'annotations': [{'result': []}, {'result': results}, cancelled],
        },
        {'id': 2, 'data': {'image': 'part 1.png'}, 'annotations': []},
    ]
    write_json(tmp_path / 'export.json', tasks)
    imported = import_boxes(tmp_path)
    assert not imported.errors
    assert boxes_in(imported) == {
        'part 0.png': [('a', (9.6, 16, 57.6, 48)), ('a', (24, 16, 72, 48))]
    }
    assert any('task 1 has 2 annotations' in note for note in imported.notes)
    assert 'passed over, as it has no box: 1 choices' in imported.notes


def test_feature_brush_masks_of_label_studio(tmp_path: Path) -> None:
    """They have no box, and images with nothing else are no good parts."""
    names = draw(tmp_path, 3)
    brush = region(type='brushlabels', value={'brushlabels': ['a'], 'rle': [1]})
    tasks = [
        {'data': {'image': name}, 'annotations': [{'result': result}]}
        for name, result in zip(names, ([region()], [brush], []), strict=True)
    ]
    write_json(tmp_path / 'export.json', tasks)
    imported = import_boxes(tmp_path)
    assert not imported.errors
    assert [record.file_name for record in imported.records] == [names[0], names[2]]
    assert any(note.endswith(f': 1: {names[1]}') for note in imported.notes)
    write_json(tmp_path / 'export.json', tasks[1:])
    assert ' holds no box: expected' in import_boxes(tmp_path).errors[0]


def test_exception_regions_of_two_sizes(tmp_path: Path) -> None:
    draw(tmp_path, 1)
    results = [region(), region(original_width=WIDTH + 1)]
    task = {'data': {'image': 'part 0.png'}, 'annotations': [{'result': results}]}
    write_json(tmp_path / 'export.json', [task])
    (error,) = import_boxes(tmp_path).errors
    assert 'task 1 gives its image the sizes (96, 64) and (97, 64)' in error


def test_feature_labels_of_yolo(tmp_path: Path) -> None:
    """Beside the images, of outlines, with spaces and blank lines."""
    draw(tmp_path, 3)
    write_text(tmp_path / 'classes.txt', 'dent\nscratch\n')
    write_text(tmp_path / 'part 0.txt', '1 .25 .25 .5 .25 .5 .75\n\n')
    write_text(tmp_path / 'part 1.txt', '  0 0.5 0.5  1.0 1e-1\r\n')
    write_text(tmp_path / 'part 2.txt', '')
    write_text(tmp_path / 'README.txt', 'words')
    imported = import_boxes(tmp_path)
    assert not imported.errors
    assert boxes_in(imported) == {
        'part 0.png': [('scratch', (24, 16, 48, 48))],
        'part 1.png': [('dent', (0, 28.8, 96, 35.2))],
        'part 2.png': [],
    }


@pytest.mark.parametrize(
    'names',
    [
        'names: {0: dent, 0: scratch}',
        'names: {0: dent, 0x0: scratch}',
        'names:\n  0: dent\n  1: scratch\n  1: rust',
        'names: [dent]\nnames: [scratch]',
    ],
)
def test_exception_names_of_yolo_said_twice(tmp_path: Path, names: str) -> None:
    draw(tmp_path, 1)
    write_text(tmp_path / 'part 0.txt', '0 0.5 0.5 0.2 0.2\n')
    write_text(tmp_path / 'data.yaml', names)
    with pytest.raises(ValueError, match=r'data\.yaml says names, or the name of a'):
        import_boxes(tmp_path)


def test_exception_names_that_are_no_text(tmp_path: Path) -> None:
    WRITERS['labelme'](tmp_path, 1)
    (tmp_path / 'part 0.png').rename(tmp_path / os.fsdecode(b'part\xff.png'))
    with pytest.raises(ValueError, match=r'no UTF-8 \(1: part.udcff.png\): expected'):
        import_boxes(tmp_path)


def test_feature_subsets_of_coco_and_cvat(all_formats: Path, tmp_path: Path) -> None:
    """By the names of COCO's files; crowds are counted, ids may be anything."""
    root = Path(shutil.copytree(all_formats / 'coco', tmp_path / 'coco'))
    content = json.loads((root / 'instances.json').read_text(encoding='utf-8'))
    (root / 'instances.json').unlink()
    content['annotations'][0]['iscrowd'] = 1
    for subset, keep in {'train2017': range(1, 7), 'val2017': (7, 8)}.items():
        images = [i for i in content['images'] if i['id'] in keep]
        annotations = [a for a in content['annotations'] if a['image_id'] in keep]
        own = {**content, 'images': images, 'annotations': annotations}
        write_json(root / f'instances_{subset}.json', own)
    imported = import_boxes(root)
    converted = convert(imported)
    assert [len(coco['images']) for coco, _ in converted.values()] == [5, 2]
    assert 'passed over, as it has no box: 1 iscrowd' in imported.notes
    assert 'split as the data set is' in converted['train'][1].notes

    root = Path(shutil.copytree(all_formats / 'cvat', tmp_path / 'cvat'))
    text = (root / 'annotations.xml').read_text(encoding='utf-8')
    text = text.replace('<image id="0"', '<image id="0" subset="Validation"')
    text = text.replace('<image id="1"', '<image id="1" subset="Train"')
    write_text(root / 'annotations.xml', text)
    imported = import_boxes(root)
    assert sorted(imported.subsets.values()) == ['train', 'val']
    # Of some images only: drawn instead.
    assert 'split by image, share 0.2' in str(convert(imported)['train'][1])


def test_exception_which_image_is_meant(tmp_path: Path) -> None:
    """Two of a name, equally near; and a path that leads out of the folder."""
    text = (
        '<annotation><filename>{}</filename><size><width>96</width><height>64</height>'
        '</size><object><name>dent</name><bndbox><xmin>1</xmin><ymin>1</ymin>'
        '<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>'
    )
    for folder in 'ab':
        draw(tmp_path / folder, 1)
    write_text(tmp_path / 'xml/other.xml', text.format('part 0.png'))
    (error,) = import_boxes(tmp_path).errors
    assert 'other.xml may mean any of the images 2: a/part 0.png, b/part 0.p' in error
    write_text(tmp_path / 'xml/other.xml', text.format('../a/part 0.png'))
    assert not import_boxes(tmp_path).errors
    write_text(tmp_path / 'xml/other.xml', text.format('../../part 0.png'))
    (error,) = import_boxes(tmp_path).errors
    assert "other.xml names the file '../../part 0.png': expected a path" in error


def test_feature_lists_of_voc(all_formats: Path, tmp_path: Path) -> None:
    """Annotations and images of it lie in folders beside them."""
    root = Path(shutil.copytree(all_formats / 'voc', tmp_path / 'voc'))
    stems = [f'part {number}' for number in range(COUNT)]
    write_text(root / 'ImageSets/Main/train.txt', '\n'.join(stems[2:]))
    write_text(root / 'ImageSets/Main/test.txt', '\r\n'.join(stems[:2]))
    converted = convert(import_boxes(root))
    assert {k: len(coco['images']) for k, (coco, _) in converted.items()} == {
        'train': COUNT - 2,
        'test': 2,
    }


def test_feature_the_draw_reaches_every_class() -> None:
    boxes = [('common', (0, 0, 5, 5))]
    records = [ImageRecord(f'{k}.png', 9, 9, boxes) for k in range(20)]
    records += [
        ImageRecord(f'rare{k}.png', 9, 9, [*boxes, ('rare', (0, 0, 5, 5))])
        for k in range(2)
    ]
    records += [ImageRecord(f'good{k}.png', 9, 9) for k in range(10)]
    for seed in range(10):
        drawn = draw_val(records, share=0.2, seed=seed)
        assert sum(name.startswith('rare') for name in drawn) == 1
        assert sum(name.startswith('good') for name in drawn) == 2
        assert len(drawn) == 7
        assert drawn == draw_val(records[::-1], share=0.2, seed=seed)
        kept = draw_val(records, share=0.2, seed=seed, train_only=['rare0.png'])
        assert 'rare0.png' not in kept
    assert draw_val(records, seed=1) != draw_val(records, seed=2)
    with pytest.raises(ValueError, match='val_share=1: expected more than 0 and less'):
        draw_val(records, share=1)
    assert draw_val(records[:1]) == set()


@pytest.mark.parametrize('share', [0.001, 0.5, 0.999])
def test_feature_the_draw_leaves_some_of_every_class(share: float) -> None:
    box = (0, 0, 5, 5)
    names = ['one', 'two', 'two', 'three', 'three', 'three']
    records = [ImageRecord(f'{k}.png', 9, 9, [(n, box)]) for k, n in enumerate(names)]
    records += [ImageRecord(f'good{k}.png', 9, 9) for k in range(2)]
    drawn = draw_val(records, share=share)
    left = [r.objects[0][0] for r in records[:6] if r.file_name not in drawn]
    assert set(left) == set(names)
    assert drawn
    assert len([name for name in drawn if name.startswith('good')]) == 1


DEEP_XML = '<annotations>' + '<a>' * 200_000


@pytest.mark.parametrize(
    ('kind', 'file', 'old', 'new', 'message'),
    [
        ('labelme', 'part 0.json', '"shapes": [', '"shapes": [{', 'is no JSON'),
        ('labelme', 'part 0.json', '"dent"', 'null', 'shape 1 has the class null'),
        ('labelme', 'part 0.json', '[25, 4]', '[25]', 'as points: expected 2 to'),
        ('labelme', 'part 0.json', '[25, 4]', '[1e999, 4]', 'as a coordinate'),
        ('labelme', 'part 0.json', '"rectangle"', '"blob"', "'blob' as shape_type"),
        ('labelme', 'part 0.json', '"rectangle"', '[]', 'as points: expected 3 to'),
        ('labelme', 'part 0.json', '"part 0.png"', '"../../x.png"', 'without ".."'),
        ('labelme', 'part 0.json', '"part 0.png"', '"C:/x.png"', 'relative to it'),
        ('labelme', 'part 0.json', '"part 0.png"', '7', 'lacks imagePath or a list'),
        ('labelme', 'part 0.json', ': 96', ': -1', 'has -1 as imageWidth'),
        ('labelme', 'part 0.json', '{', '[' * 50_000, 'no JSON|too deeply'),
        ('labelme', 'part 0.json', '"shapes": [', '"shapes": [1,', 'shape 1 is 1'),
        ('yolo', 'labels/part 0.txt', '0 ', '2 ', 'line 1 has the class 2: expected'),
        ('yolo', 'labels/part 0.txt', '0 ', '-1 ', "begins with '-1': expected the n"),
        ('yolo', 'labels/part 0.txt', '0 ', '0 0.5 ', '5 numbers behind the class'),
        ('yolo', 'labels/part 0.txt', '0 ', '0 nan 0.1 0.1 x\n0 ', 'as a coordinate'),
        ('yolo', 'labels/part 0.txt', '0 ', '0 50 40 9 9\n0 ', 'expected fractions'),
        ('cvat', 'annotations.xml', '</annotations>', '', 'is no XML'),
        ('cvat', 'annotations.xml', 'name="part 0', 'name="../../0', 'without ".."'),
        ('cvat', 'annotations.xml', 'xtl="5.00"', 'xtl="five"', "'five' as a coord"),
        ('cvat', 'annotations.xml', 'xtl="5.00"', '', 'null as a coordinate'),
        ('cvat', 'annotations.xml', 'label="dent"', 'label=""', "has the class ''"),
        ('cvat', 'annotations.xml', 'width="96"', 'width="0"', 'as width: expected'),
        ('cvat', 'annotations.xml', '<box ', '<blob ', 'has a shape <blob>'),
        ('cvat', 'annotations.xml', 'points="60.00,', 'points="', 'as points'),
        ('cvat', 'annotations.xml', '<annotations>', DEEP_XML, 'is no XML'),
        (
            'cvat',
            'annotations.xml',
            '<annotations>',
            '<!DOCTYPE a [<!ENTITY x "boom">]><annotations>',
            'declares XML entities',
        ),
        ('label-studio', 'project-1.json', '"id": 0', '"id": ', 'is no JSON'),
        ('label-studio', 'project-1.json', '["dent"]', '[]', 'with the labels'),
        ('label-studio', 'project-1.json', '["dent"]', '["a", "b"]', 'the labels'),
        ('label-studio', 'project-1.json', '"result"', '"none"', 'null as result'),
        ('label-studio', 'project-1.json', '"annotations"', '"x"', 'as annotations'),
        ('label-studio', 'project-1.json', '"data"', '"x"', 'has no data: expected'),
        ('label-studio', 'project-1.json', '"rotation": 0', '"rotation": {}', 'ion'),
        ('label-studio', 'project-1.json', 'upload/1/', '../../', 'without ".."'),
        ('voc', 'Annotations/part 0.xml', '</annotation>', '', 'is no XML'),
        ('voc', 'Annotations/part 0.xml', '<xmin>5<', '<xmin>x<', "has 'x' as <bndb"),
        ('voc', 'Annotations/part 0.xml', '<name>dent<', '<name><', 'has no <name>'),
        ('coco', 'instances.json', '"categories"', '"x"', "has no 'categories'"),
    ],
)
def test_exception_bad_files(
    all_formats: Path,
    tmp_path: Path,
    kind: str,
    file: str,
    old: str,
    new: str,
    message: str,
) -> None:
    """One sentence that names the file; nothing else is said of it."""
    root = Path(shutil.copytree(all_formats / kind, tmp_path / kind))
    text = (root / file).read_text(encoding='utf-8')
    assert old in text
    write_text(root / file, text.replace(old, new, 1))
    errors = import_boxes(root, kind=kind).errors
    assert len(errors) == 1, errors
    assert str(root / file) in errors[0]
    assert re.search(message, errors[0]), errors[0]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('names: [dent\n', 'data.yaml is no YAML'),
        ('names: {0: dent, 2: scratch}\n', 'as names: expected a list, or names by'),
        ('names: 7\n', 'has 7 as names'),
        ('names: [dent, dent]\n', 'names a class twice'),
        ('names: [dent, null]\n', 'has the class null'),
        ('names: ' + '[' * 1000, 'is no YAML'),
        ('names: [dent, rust]\n', 'files name the classes differently'),
    ],
)
def test_exception_names_of_yolo(
    all_formats: Path, tmp_path: Path, text: str, message: str
) -> None:
    root = Path(shutil.copytree(all_formats / 'yolo', tmp_path / 'yolo'))
    write_text(root / 'data.yaml', text)
    if 'rust' in text:
        write_text(root / 'classes.txt', 'dent\nscratch\n')
    with pytest.raises(ValueError, match=message):
        import_boxes(root)


@pytest.mark.parametrize(
    ('kind', 'file'),
    [
        ('labelme', 'part 0.json'),
        ('voc', 'Annotations/part 0.xml'),
        ('cvat', 'annotations.xml'),
        ('label-studio', 'project-1.json'),
        ('coco', 'instances.json'),
    ],
)
def test_exception_an_empty_file(
    all_formats: Path, tmp_path: Path, kind: str, file: str
) -> None:
    root = Path(shutil.copytree(all_formats / kind, tmp_path / kind))
    (root / file).write_bytes(b'')
    if kind in ('labelme', 'voc'):
        (error,) = import_boxes(root).errors
        assert str(root / file) in error
    else:
        with pytest.raises(FileNotFoundError, match='holds no annotations'):
            import_boxes(root)


def test_feature_the_options_name_every_format() -> None:
    """And the share that validates where nothing is said."""
    assert ('auto', *TITLES) == FORMATS
    parser = argparse.ArgumentParser()
    add_import_options(parser)
    assert f'else {VAL_SHARE:g}' in ' '.join(parser.format_help().split())
