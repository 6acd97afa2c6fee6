"""``mmdefect line verdict`` from the shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.cli.main import main
from mmdefect.line import queue
from mmdefect.line.folder import Line
from tests.helpers.reviewed_line import DENT, decide, draw, make_line

Out = pytest.CaptureFixture[str]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """``ok.png`` and ``dent.png``, of which the first waits."""
    monkeypatch.chdir(tmp_path)
    line = make_line(tmp_path / 'l')
    row = decide(line, draw(Path('ok.png'), 1))
    queue.enqueue(line, row, 'margin')
    decide(line, draw(Path('dent.png'), 2), DENT)
    return line


def verdict(*words: object) -> int:
    return main(['line', 'verdict', 'l', *map(str, words)])


def test_smoke(line: Line, capsys: Out) -> None:
    words = ('missed', 'ok.png', '--kind', 'hole', '--new-kind', '--by', 'me')
    assert verdict(*words, '--box', 1, 2, 9, 12, '--box', 20, 20, 30, 30) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == ['ok.png: missed hole (row 4)', '0 wait in the queue']
    row = next(line.log.rows(kind='verdict'))
    assert [one['box'] for one in row.body['things']] == [
        [1, 2, 9, 12],
        [20, 20, 30, 30],
    ]
    assert row.body['by'] == 'me'


def test_feature_names_are_those_of_the_log(line: Line, capsys: Out) -> None:
    assert verdict('false-alarm', 'dent.png') == 0
    assert capsys.readouterr().out.startswith('dent.png: false alarm dent (row 4)')


def test_feature_several_images_at_once(line: Line, capsys: Out) -> None:
    assert verdict('confirmed', 'ok.png', 'dent.png') == 0
    assert verdict('confirmed', 'dent.png') == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == 'ok.png: confirmed (row 4)'
    assert said[1] == 'dent.png: confirmed dent (row 5)'
    assert said[3] == 'dent.png: confirmed dent (said already, row 5)'
    assert line.log.count(kind='verdict') == 2


def test_feature_what_is_replaced_is_said(line: Line, capsys: Out) -> None:
    words = ('missed', 'ok.png', '--kind', 'dent', '--box')
    for box in ((1, 2, 9, 12), (20, 20, 30, 30), (20, 20, 30, 30)):
        assert verdict(*words, *box) == 0
    said = capsys.readouterr().out.splitlines()[::2]
    assert said == [
        'ok.png: missed dent (row 4)',
        'ok.png: missed dent (row 5; replaces missed dent, row 4)',
        'ok.png: missed dent (said already, row 5)',
    ]


def test_exception(line: Line, capsys: Out) -> None:
    with pytest.raises(SystemExit):
        verdict('perfect', 'ok.png')
    error = capsys.readouterr().err
    assert "invalid choice: 'perfect'" in error
    assert 'false-alarm' in error
    assert 'false alarm' not in error
    for name in ('false-alarm', 'false alarm'):  # as errors and the log have it
        assert verdict(name, 'ok.png') == 1
        assert "decided to be ok: expected 'confirmed'" in capsys.readouterr().err
    assert verdict('missed', 'ok.png', '--kind', 'dents', '--new-kind') == 1
    assert "'dents' is almost dent: " in capsys.readouterr().err
    assert verdict('missed', 'ok.png', 'dent.png', '--box', 1, 2, 9, 12) == 1
    assert '--box with 2 images: expected one image' in capsys.readouterr().err
    assert line.log.count(kind='verdict') == 0
    words = ('missed', 'ok.png', '--kind', 'dents', '--new-kind', '--alike')
    assert verdict(*words) == 0


def test_exception_one_of_several_that_is_unknown(line: Line, capsys: Out) -> None:
    """Nothing is written of the others."""
    assert verdict('confirmed', 'ok.png', 'dint.png') == 1
    assert "'dint.png' is no image of the log" in capsys.readouterr().err
    assert line.log.count(kind='verdict') == 0
