"""``mmdefect line since-when`` from the shell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from mmdefect.line.folder import Line
from mmdefect.line.verdicts import give
from tests.helpers.reviewed_line import CRACK, add_version, decide, draw, make_line

Out = pytest.CaptureFixture[str]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """A crack that v0001 finds and v0002 overlooks."""
    monkeypatch.chdir(tmp_path)
    line = make_line(tmp_path / 'l')
    path = draw(Path('red.png'), colour=(0, 0, 200))
    decide(line, path, CRACK)
    add_version(line, thresholds={'dent': 0.5, 'crack': 0.9})
    decide(line, path)
    return line


def since_when(*words: str) -> int:
    return main(['line', 'since-when', 'l', *words])


def test_smoke_kind(line: Line, capsys: Out) -> None:
    assert since_when('--kind', 'crack') == 0
    said = 'nobody has said that crack was missed; it is on 0 reviewed images\n'
    assert capsys.readouterr().out == said
    give(line, 'red.png', 'missed', kind='crack')
    found, missed = line.log.rows(kind='decision')
    assert since_when('--kind', 'crack') == 0
    assert capsys.readouterr().out.splitlines() == [
        f'v0001: found 1 time on 1 image, from {found.time} to {found.time}',
        f'v0002: overlooked 1 time on 1 image, from {missed.time} to {missed.time}',
        f'crack: overlooked since {missed.time}, by v0002, on red.png',
        f'crack: found the last time {found.time}, by v0001, on red.png',
    ]
    shutil.rmtree(line.versions_dir / 'v0001')
    assert since_when('--kind', 'crack') == 0
    assert 'v0001, whose package is gone: found' in capsys.readouterr().out
    assert since_when('--kind', 'crack', '--json') == 0
    content = json.loads(capsys.readouterr().out)
    assert content['overlooked_since']['version'] == 'v0002'
    assert content['last_found']['id'] == found.id
    assert [one['is_there'] for one in content['counts']] == [False, True]


def test_smoke_image(line: Line, capsys: Out) -> None:
    first, second = (row.time for row in line.log.rows(kind='promotion'))
    assert since_when('--image', 'red.png') == 0
    _, *said = capsys.readouterr().out.splitlines()
    assert said == [
        f'v0001, {first} to {second}: found (defective, crack, 0.7843 of 0.5); by the '
        'log defective 1 time',
        f'v0002, {second} to now: overlooked (ok, 0.7843 of 0.9); by the log ok 1 time',
        f'overlooked since {second}, with v0002: 1 decision was made in that time',
    ]
    assert since_when('--image', 'red.png', '--json') == 0
    content = json.loads(capsys.readouterr().out)
    assert content['overlooked'] == [
        {'version': 'v0002', 'since': second, 'until': None}
    ]
    assert content['replays'][0]['result']['boxes'][0]['name'] == 'crack'
    shutil.rmtree(line.versions_dir / 'v0002')
    assert since_when('--image', 'red.png') == 0
    *_, gone, end = capsys.readouterr().out.splitlines()
    assert gone.endswith('it cannot look: its package is gone; by the log ok 1 time')
    assert end == 'overlooked by no version that can look'


def test_exception(line: Line, capsys: Out) -> None:
    assert since_when() == 1
    assert 'neither --image nor --kind: expected one' in capsys.readouterr().err
    assert since_when('--kind', 'carck') == 1
    assert 'did you mean crack?' in capsys.readouterr().err
    assert since_when('--image', 'none.png') == 1
    assert "image='none.png' is no image of the log" in capsys.readouterr().err


def test_exception_no_version_could_look(
    line: Line, tmp_path: Path, capsys: Out
) -> None:
    """That is no all-clear."""
    (tmp_path / 'README.md').write_text('none')
    assert since_when('--image', 'README.md') == 1
    *_, end = capsys.readouterr().out.splitlines()
    assert end == 'no version could look at it: whether it is overlooked is not known'


def test_feature_names_of_files_are_printed_visibly(line: Line, capsys: Out) -> None:
    path = draw(Path('a\x1b[2J\n.png'), colour=(0, 0, 180))
    decide(line, path)
    give(line, path, 'missed', kind='crack')
    for words in (('--kind', 'crack'), ('--image', str(path))):
        assert since_when(*words) == 0
        out = capsys.readouterr().out
        assert 'a\\x1b[2J\\n.png' in out
        assert '\x1b' not in out
