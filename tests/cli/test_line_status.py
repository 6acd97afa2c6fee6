"""``mmdefect line status`` and ``reference`` from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.cli.main import main
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote
from tests.helpers.drawn_line import drawn_rows, from_day
from tests.helpers.hand_package import hand_package


@pytest.fixture
def line(tmp_path: Path) -> str:
    made = Line.create(tmp_path / 'line')
    package = hand_package(tmp_path / 'package', 'maps', default_threshold=0.75)
    promote(made, package.folder)
    return str(made.folder)


def test_smoke(line: str, capsys) -> None:
    dark = from_day(5, 120, 100)
    Line(line).log.append_many(drawn_rows(8, 80, brightness=dark))
    assert main(['line', 'reference', line, '--days', '2026-10-01', '2026-10-04']) == 0
    said = capsys.readouterr().out
    assert said == 'v0001: 320 images (days 2026-10-01 to 2026-10-04)\n'
    assert main(['line', 'status', line]) == 0
    assert 'brightness: OUT since 2026-10-06' in capsys.readouterr().out
    assert main(['line', 'status', line, '--json', '--check']) == 1
    found = json.loads(capsys.readouterr().out)
    left = {one['measure']: one['left'] for one in found['drift']}
    assert left['brightness'] == '2026-10-06'
    assert left['sharpness'] is None


def test_feature_reference_of_images(line: str, tmp_path: Path, capsys) -> None:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for place in range(3):
        grey = np.full((16, 32, 3), 90 + place, np.uint8)
        cv2.imwrite(str(folder / f'{place}.png'), grey)
    assert main(['line', 'reference', line, str(folder)]) == 0
    assert capsys.readouterr().out == (
        f'v0001: 3 images ({folder})\n'
        '  bottle: 3 images, too few to decide by; give 50 or more\n'
    )
    assert main(['line', 'status', line, '--check']) == 0


def test_exception_a_reference_gives_way_to_no_smaller_one(line: str, capsys) -> None:
    Line(line).log.append_many(drawn_rows(4, 40))
    words = ['line', 'reference', line, '--days']
    assert main([*words, '2026-10-01', '2026-10-04']) == 0
    small = [*words, '2026-10-01', '2026-10-01']
    assert main(small) == 1
    said = capsys.readouterr().err
    assert '40 images (days 2026-10-01 to 2026-10-01) would take the place of' in said
    assert main([*small, '--force']) == 0


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['reference'], 'IMAGES, --days: expected one of the two'),
        (['reference', 'x.png', '--days', 'a', 'b'], 'expected one of the two'),
        (['reference', '--days', '2026-01-01', '2026-01-02'], 'expected days with'),
        (['status', '--days', '0'], '--days=0: expected at least 1'),
    ],
)
def test_exception_one_sentence(line: str, words, message: str, capsys) -> None:
    assert main(['line', words[0], line, *words[1:]]) == 1
    said = capsys.readouterr().err
    assert said.startswith('mmdefect: error: ')
    assert message in said
    assert len(said.splitlines()) == 1
