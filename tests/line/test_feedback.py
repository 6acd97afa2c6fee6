"""Reviewed images as a data set, and whether what exists reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.converters.importing import convert, import_boxes
from mmdefect.converters.mvtec_ad import check_folder
from mmdefect.line.feedback import export_feedback
from mmdefect.line.folder import Line
from mmdefect.line.record import Recorder
from mmdefect.line.verdicts import give
from tests.helpers.image_files import with_exif
from tests.helpers.reviewed_line import CRACK, DENT, decide, draw, make_line

HOLE_BOX = (50, 2, 62, 12)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """Boxes: a hole that nobody knew, a dent that is a crack, two good ones."""
    line = make_line(tmp_path / 'l')
    found = {'missed': [DENT], 'wrong': [DENT], 'alarm': [CRACK], 'ok': [], 'new': []}
    for seed, (name, boxes) in enumerate(found.items()):
        decide(line, draw(tmp_path / f'{name}.png', seed), *boxes)
    give(line, 'missed.png', 'missed', kind='hole', box=HOLE_BOX, new_kind=True)
    give(line, 'wrong.png', 'wrong kind', kind='crack')
    give(line, 'alarm.png', 'false alarm')
    give(line, 'ok.png', 'confirmed')
    return line


def maps_line(folder: Path) -> Line:
    line = make_line(folder / 'l', 'routed')
    seen = {'fine': 'ok', 'alarm': 'defective', 'bad': 'ok', 'new': 'unknown product'}
    for seed, (name, decision) in enumerate(seen.items()):
        product = None if name == 'new' else 'bottle'
        kinds = ['anomaly'] * (decision == 'defective')
        path = draw(folder / f'{name}.png', seed)
        decide(line, path, decision=decision, product=product, kinds=kinds)
    give(line, 'alarm.png', 'false alarm')
    return line


def names_in(folder: Path) -> list[str]:
    """Files without the digits of their hashes."""
    paths = (path.relative_to(folder) for path in folder.rglob('*') if path.is_file())
    return sorted(f'{path.parent}/{path.name.split("-")[0]}' for path in paths)


def test_smoke_coco(line: Line, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    done = export_feedback(line, out)
    assert (done.form, done.images, done.good) == ('coco', 4, 2)
    assert done.kinds == {'dent': 1, 'hole': 1, 'crack': 1}
    assert done.classes == ('dent', 'crack', 'hole')
    assert done.command == (
        f'mmdefect init boxes {out} --classes dent crack hole --out out.py'
    )
    assert names_in(out) == [
        './feedback.json',
        'images/alarm',
        'images/missed',
        'images/ok',
        'images/wrong',
    ]
    coco = json.loads((out / 'feedback.json').read_text(encoding='utf-8'))
    assert [one['name'] for one in coco['categories']] == ['dent', 'crack', 'hole']
    assert [(one['image_id'], one['category_id'], one['bbox']) for one in
            coco['annotations']] == [
        (1, 1, [4, 8, 16, 16]),
        (1, 3, [50, 2, 12, 10]),
        (2, 2, [4, 8, 16, 16]),
    ]  # fmt: skip
    (copy,) = (out / 'images').glob('wrong-*.png')
    assert copy.read_bytes() == (tmp_path / 'wrong.png').read_bytes()


def test_feature_init_boxes_reads_it(line: Line, tmp_path: Path) -> None:
    """In the order of the classes; good images are good, boxes as they were."""
    done = export_feedback(line, tmp_path / 'out')
    for classes in (None, done.classes):
        found = import_boxes(tmp_path / 'out', classes=classes)
        assert found.errors == []
        assert found.classes == ['dent', 'crack', 'hole']
        assert len(found.records) == 4
    assert found.unlabelled == []
    boxes = {record.file_name[7:10]: record.objects for record in found.records}
    assert boxes['mis'] == [('dent', (4, 8, 20, 24)), ('hole', HOLE_BOX)]
    assert boxes['wro'] == [('crack', (4, 8, 20, 24))]
    assert boxes['ok-'] == boxes['ala'] == []
    converted = convert(found)
    assert not [report for _, report in converted.values() if report.errors]


def test_feature_the_newest_verdict_counts(line: Line, tmp_path: Path) -> None:
    give(line, 'missed.png', 'false alarm')
    done = export_feedback(line, tmp_path / 'out')
    assert (done.good, done.classes) == (3, ('dent', 'crack'))


def test_feature_pictures_are_written_upright(tmp_path: Path) -> None:
    """As boxes lie on them; what cannot be copied is stored anew."""
    line = make_line(tmp_path / 'l')
    path = tmp_path / 'turned.jpg'
    pixels = np.full((64, 48, 3), 90, np.uint8)
    path.write_bytes(with_exif('JPEG', 6, pixels))
    decide(line, path, DENT)
    give(line, path, 'confirmed')
    export_feedback(line, tmp_path / 'out')
    found = import_boxes(tmp_path / 'out')
    assert found.errors == []
    (record,) = found.records
    assert (record.width, record.height) == (64, 48)
    (written,) = (tmp_path / 'out' / 'images').iterdir()
    assert written.suffix == '.png'
    assert cv2.imread(str(written)).shape == (48, 64, 3)


def test_feature_of_a_decision_that_was_recorded(tmp_path: Path) -> None:
    """What the model found is what is exported once it is confirmed."""
    line = make_line(tmp_path / 'l')
    path = draw(tmp_path / 'red.png', colour=(0, 0, 200))
    model = DefectInferencer(line.package())
    found = model.predict_one(path)
    Recorder(line, version=line.current()).record(found, data=path.read_bytes())
    assert give(line, path, 'confirmed').kinds == ('crack',)
    export_feedback(line, tmp_path / 'out')
    (record,) = import_boxes(tmp_path / 'out').records
    ((kind, box),) = record.objects
    assert kind == 'crack'
    assert box == pytest.approx([float(side) for side in found.boxes[0]], abs=0.01)


def test_smoke_mvtec(tmp_path: Path) -> None:
    """Nothing that is not reviewed, and `good` only by a verdict."""
    line = maps_line(tmp_path)
    give(line, 'bad.png', 'missed', kind='scratch', box=HOLE_BOX)
    give(line, 'new.png', 'false alarm', product='nut', new_kind=True)
    out = tmp_path / 'out'
    done = export_feedback(line, out)
    assert names_in(out) == [
        'bottle/ground_truth/scratch/bad',
        'bottle/test/scratch/bad',
        'bottle/train/good/alarm',
        'nut/train/good/new',
    ]
    assert (done.images, done.good, done.classes) == (3, 2, ('bottle', 'nut'))
    assert done.kinds == {'scratch': 1}
    assert done.notes[0].startswith('known products, bottle: mmdefect init maps --aft')
    (mask,) = (out / 'bottle/ground_truth/scratch').iterdir()
    pixels = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (48, 64)
    assert [int(edge) for edge in cv2.boundingRect(pixels)] == [50, 2, 12, 10]
    reports, errors = check_folder(out, full=True)
    assert errors == [error for one in reports for error in one.errors] == []
    assert [one.totals for one in reports] == [(1, 0, 1), (1, 0, 0)]


def test_feature_masks_of_all_or_none(tmp_path: Path) -> None:
    """Who reads the layout takes a product with masks for one whose images have one."""
    line = maps_line(tmp_path)
    give(line, 'bad.png', 'missed', kind='scratch', box=HOLE_BOX)
    give(line, 'fine.png', 'missed', kind='stain')
    done = export_feedback(line, tmp_path / 'out')
    assert 'bottle: no masks, as 1 of 2 defective images have no box' in done.notes[0]
    assert not [*(tmp_path / 'out').rglob('*_mask.png')]
    reports, _ = check_folder(tmp_path / 'out', full=True)
    assert [one.errors for one in reports] == [[]]


def test_feature_maps_as_coco(tmp_path: Path) -> None:
    line = maps_line(tmp_path)
    give(line, 'bad.png', 'missed', kind='scratch', box=HOLE_BOX)
    done = export_feedback(line, tmp_path / 'out', 'coco')
    assert (done.images, done.classes) == (2, ('scratch',))


def test_smoke_folders(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l', 'labels')
    found = {'ok': [], 'alarm': ['red'], 'bad': ['red']}
    for seed, (name, kinds) in enumerate(found.items()):
        decision = 'defective' if kinds else 'ok'
        path = draw(tmp_path / f'{name}.png', seed)
        decide(line, path, decision=decision, kinds=kinds, body={'name': 'blue'})
    give(line, 'ok.png', 'confirmed')
    give(line, 'bad.png', 'confirmed')
    give(line, 'alarm.png', 'false alarm')
    with pytest.raises(ValueError, match=r"alarm\.png .*say 'wrong-kind' --kind"):
        export_feedback(line, tmp_path / 'out')
    give(line, 'alarm.png', 'wrong kind', kind='green')
    done = export_feedback(line, tmp_path / 'out')
    assert done.form == 'folders'
    assert names_in(tmp_path / 'out') == ['blue/ok', 'green/alarm', 'red/bad']


def lacking(folder: Path, what: str) -> tuple[Line, str]:
    """A line with one image that can be exported and one that cannot, and why."""
    if what in ('product', 'good', 'unknown'):
        line = maps_line(folder)
        given: dict[str, Any] = {'product': {}, 'unknown': {}}.get(what, {})
        if what == 'good':
            given = {'kind': 'scratch', 'product': 'nut', 'new_kind': True}
        verdict = {'good': 'missed', 'product': 'false alarm'}.get(what, 'confirmed')
        give(line, 'new.png', verdict, **given)
        return line, {
            'product': r'new\.png \w{12} \(its product is not known; say it with',
            'good': 'nut has no good image that is reviewed; review one',
            'unknown': 'nobody has said whether it is good',
        }[what]
    line = make_line(folder / 'l', keep_images='none' if what == 'gone' else 'all')
    paths = [draw(folder / f'{seed}.png', seed) for seed in range(2)]
    many = {'body': {'boxes_left_out': 7}} if what == 'boxes' else {}
    decide(line, paths[0])
    decide(line, paths[1], DENT, **many)
    give(line, paths[0], 'confirmed')
    if what == 'place':
        give(line, paths[1], 'missed', kind='crack')
    else:
        give(line, paths[1], 'confirmed')
    if what == 'gone':
        paths[1].unlink()
    return line, {
        'gone': r"1\.png \w{12} \(gone, keep_images is 'none'\)",
        'boxes': 'it has more boxes than the log holds',
        'place': r'1\.png \w{12} \(crack without a box; say where with --box\)',
    }[what]


@pytest.mark.parametrize(
    'what', ['gone', 'boxes', 'place', 'product', 'good', 'unknown']
)
def test_exception_what_cannot_be_written_is_named(tmp_path: Path, what: str) -> None:
    line, why = lacking(tmp_path, what)
    with pytest.raises(ValueError, match=rf'that cannot be written as \w+, 1: .*{why}'):
        export_feedback(line, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    done = export_feedback(line, tmp_path / 'out', leave_out=True)
    assert (done.images, len(done.left_out)) == (1, 1)


def test_exception_a_place_in_the_line(line: Line, tmp_path: Path) -> None:
    (tmp_path / 'link').symlink_to(line.folder)
    for place in ('l/out', 'l/images/out', 'link/out'):
        with pytest.raises(ValueError, match=rf'{place} is inside of the line'):
            export_feedback(line, tmp_path / place)
    assert not [*line.folder.rglob('out*')]


def test_exception_a_picture_that_was_changed(line: Line, tmp_path: Path) -> None:
    """Never copied: refused by name, or left out by name."""
    row = next(line.log.rows(kind='verdict'))
    kept = line.images.find(str(row.image))
    assert kept is not None
    (tmp_path / 'missed.png').unlink()  # it would stand in
    kept.write_bytes(draw(tmp_path / 'other.png', 99).read_bytes())
    with pytest.raises(ValueError, match=rf'the kept picture .*{kept.name} was chang'):
        export_feedback(line, tmp_path / 'out')
    done = export_feedback(line, tmp_path / 'out', leave_out=True)
    assert done.images == 3
    assert kept.name in done.left_out[0]


def test_exception(line: Line, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"form='mvtec': expected one of coco"):
        export_feedback(line, tmp_path / 'out', 'mvtec')
    with pytest.raises(
        FileExistsError, match=r'something already.*; give another OUT$'
    ):
        export_feedback(line, line.folder)
    empty = make_line(tmp_path / 'empty')
    with pytest.raises(ValueError, match='has no verdict yet: expected some to export'):
        export_feedback(empty, tmp_path / 'out')
    decide(empty, tmp_path / 'ok.png')
    give(empty, tmp_path / 'ok.png', 'missed', kind='dent')
    with pytest.raises(ValueError, match='no reviewed image can be written as coco'):
        export_feedback(empty, tmp_path / 'out', leave_out=True)


def test_feature_a_picture_that_cannot_be_read_is_left_out(
    line: Line, tmp_path: Path
) -> None:
    """It says which, and stops nothing."""
    row = next(line.log.rows(kind='verdict'))
    kept = line.images.find(str(row.image))
    assert kept is not None
    kept.unlink()
    kept.mkdir()
    (tmp_path / 'missed.png').unlink()
    done = export_feedback(line, tmp_path / 'out', leave_out=True)
    assert done.images == 3
    assert 'Is a directory' in done.left_out[0]
