"""What is usual: by images, by days of the log; written, read, refused."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.line import reference
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote
from mmdefect.line.record import Recorder
from tests.helpers.drawn_line import drawn_rows
from tests.helpers.hand_package import hand_package


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """With one version, which finds what is brighter than three quarters."""
    made = Line.create(tmp_path / 'line')
    package = hand_package(tmp_path / 'package', 'maps', default_threshold=0.75)
    promote(made, package.folder)
    return made


def photos(folder: Path, number: int = 6) -> Path:
    """Grey photos; the last one is bright."""
    folder.mkdir()
    for place in range(number):
        grey = 250 if place == number - 1 else 80 + place
        cv2.imwrite(str(folder / f'{place}.png'), np.full((16, 32, 3), grey, np.uint8))
    return folder


def test_smoke_images_count_as_their_decisions_would(
    line: Line, tmp_path: Path
) -> None:
    """The reference of images and the sums of the log of the same images are equal."""
    folder = photos(tmp_path / 'photos')
    found = reference.of_images(line, [folder])
    recorder = Recorder(line, version='v0001')
    for one in DefectInferencer(line.package())(folder, keep_images=True):
        assert recorder.record(one, image=one.image) is None
    (day,) = line.log.days()
    (counted,) = found.products
    assert counted.decisions == day.decisions == {'ok': 5, 'defective': 1}
    assert counted.histograms == day.histograms
    assert (found.version, found.images, found.origin) == ('v0001', 6, 'images')


def test_smoke_kept_and_read(line: Line) -> None:
    line.log.append_many(drawn_rows(4, 20))
    line.log.append_many(drawn_rows(4, 20, version='v0002', seed=1))
    first, second = reference.of_log(line, '2026-10-02', '2026-10-03')
    assert (first.version, second.version) == ('v0001', 'v0002')
    assert first.images == second.images == 40
    assert first.origin == 'days 2026-10-02 to 2026-10-03'
    reference.keep(line, [first])
    reference.keep(line, [second])
    assert reference.read(line) == {'v0001': first, 'v0002': second}
    notes = [row.body for row in line.log.rows(kind='note')]
    assert notes == [
        {'what': 'reference', 'origin': first.origin, 'images': 40} for _ in range(2)
    ]
    (only,) = reference.of_log(line, '2026-10-02', '2026-10-02', version='v0002')
    assert (only.version, only.images) == ('v0002', 20)
    assert line.verify().ok


def test_feature_none_before_it_is_made(line: Line) -> None:
    assert reference.read(line) == {}


def test_exception_nothing_to_count(line: Line, tmp_path: Path) -> None:
    bad = tmp_path / 'bad'
    bad.mkdir()
    (bad / 'a.png').write_bytes(b'none')
    with pytest.raises(ValueError, match='images: expected images of the line that'):
        reference.of_images(line, [bad])
    with pytest.raises(ValueError, match='expected days with decisions, the log of'):
        reference.of_log(line, '2026-10-02', '2026-10-03')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'format_version': 2, 'references': []}, 'format_version=2: expected 1'),
        ({'format_version': 1}, "is not as it was written .'references'"),
        ({'format_version': 1, 'references': [{}]}, 'expected references; remove it'),
        ({'format_version': 1, 'references': [3]}, 'expected references; remove it'),
    ],
)
def test_exception_damaged(line: Line, content, message: str) -> None:
    (line.folder / reference.FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        reference.read(line)


@pytest.mark.parametrize(
    ('bins', 'decisions', 'message'),
    [
        ({'99999999': 1}, {'ok': 1}, 'bin=99999999: expected at least -640'),
        ({'3': 10**400}, {'ok': 1}, 'images=1000.*: expected a whole number'),
        ({'3': -1}, {'ok': 1}, 'images=-1: expected at least 0'),
        ({'3': 1}, {'ok': 10**13}, 'images=10000000000000: expected at least 0 and'),
    ],
)
def test_exception_numbers_that_no_line_counts(
    line: Line, bins, decisions, message: str
) -> None:
    """Memory or an overflow, as soon as days are held against them."""
    product = {'product': None, 'decisions': decisions, 'histograms': {'score': bins}}
    one = {'version': 'v0001', 'made': '', 'origin': '', 'products': [product]}
    content = {'format_version': 1, 'references': [one]}
    (line.folder / reference.FILE).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        reference.read(line)


def test_exception_a_slip_does_not_end_the_watch(line: Line, tmp_path: Path) -> None:
    """One image in the place of sixty: drift would never be decided again."""
    line.log.append_many(drawn_rows(4, 20))
    (usual,) = reference.of_log(line, '2026-10-01', '2026-10-04')
    (small,) = reference.of_log(line, '2026-10-01', '2026-10-01')
    reference.keep(line, [small])  # in nothing's place, or in that of a small one
    reference.keep(line, [usual])
    with pytest.raises(ValueError, match=r'20 images .days .*the 80 that v0001'):
        reference.keep(line, [small])
    assert reference.read(line) == {'v0001': usual}
    reference.keep(line, [small], force=True)
    assert reference.read(line) == {'v0001': small}
