"""``mmdefect line``: init, log, verify, and the table of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from mmdefect.cli import line as line_commands
from mmdefect.cli.main import main
from mmdefect.line.folder import Line
from tests.helpers.line_logs import small_log, tamper

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """Exit status, stdout and stderr of ``mmdefect line ...``."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(['line', *map(str, words)])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A line with six rows."""
    line = Line.create(tmp_path / 'my_line')
    line.log.close()
    line.db_path.unlink()
    small_log(line.db_path).close()
    return line.folder


def test_smoke_init(said: Said, tmp_path: Path) -> None:
    folder = tmp_path / 'l'
    words = ('--keep-images', 'newest', '--keep-gb', 0.5, '--on-full-disk', 'serve')
    status, out, _ = said('init', folder, *words)
    assert status == 0
    assert out.startswith(f'{folder} is a line; next: mmdefect line ')
    settings = Line(folder).settings
    assert (settings.keep_images, settings.keep_gb) == ('newest', 0.5)
    assert settings.on_full_disk == 'serve'


def test_exception_init(said: Said, folder: Path) -> None:
    status, _, err = said('init', folder)
    assert status == 1
    assert err.startswith(f'mmdefect: error: {folder} holds something already')
    status, _, err = said('init', folder / 'a', '--keep-gb', -1)
    assert (status, err) == (1, 'mmdefect: error: keep_gb=-1.0: expected at least 0\n')
    assert said('init', folder / 'exams' / 'a')[0] == 1


def test_smoke_log(said: Said, folder: Path) -> None:
    status, out, _ = said('log', folder, '--limit', 3)
    first, second, third = out.splitlines()
    assert status == 0
    assert first == (
        '      4  2026-11-30T12:00:03Z  decision   v0002 '
        '  ok  score 0.75  threshold 0.5  cable  /photos/3.png  000000000000'
    )
    assert second.split()[2:6] == ['verdict', '-', 'missed', 'dent']
    assert third.endswith('promotion  v0002 ')


def test_feature_log_as_json(said: Said, folder: Path) -> None:
    _, out, _ = said('log', folder, '--json', '--defect', 'dent', '--kind', 'decision')
    (row,) = map(json.loads, out.splitlines())
    assert (row['id'], row['kinds'], row['score']) == (2, ['dent', 'scratch'], 0.25)
    assert said('log', folder, '--since', '2026-11-30', '--json')[1].count('\n') == 4
    image = f'{1:064x}'
    assert json.loads(said('log', folder, '--json', '--image', image)[1])['id'] == 2


def test_exception_log(said: Said, folder: Path) -> None:
    for words, why in {
        ('--limit', 0): '--limit=0: expected at least 1',
        ('--since', 'x'): "since='x': expected a time",
        ('--image', 'abcdefabcdef'): 'the log has none such: expected one that was',
    }.items():
        status, _, err = said('log', folder, *words)
        assert status == 1
        assert why in err
    assert 'is no line (no line.json)' in said('log', folder.parent)[2]


def test_feature_verify(said: Said, folder: Path) -> None:
    status, out, _ = said('verify', folder)
    assert status == 0
    assert out.endswith('decisions.db: 6 rows, none changed, moved or missing\n')
    assert Line(folder).head()['id'] == 6
    tamper(folder / 'decisions.db', 'UPDATE log SET score = 0 WHERE id = 3')
    status, out, _ = said('verify', folder, '--json')
    assert status == 1
    found = json.loads(out)
    assert (found['ok'], found['bad'], found['rows']) == (False, 3, 2)


def test_feature_verify_rebuilds(said: Said, folder: Path) -> None:
    tamper(folder / 'decisions.db', 'DELETE FROM days')
    assert said('verify', folder)[0] == 1
    assert said('verify', folder, '--rebuild')[0] == 0
    tamper(folder / 'decisions.db', 'DELETE FROM log WHERE id > 4')
    status, out, _ = said('verify', folder, '--rebuild')
    assert status == 1
    assert 'the end is missing: row 6 was there' in out


@pytest.mark.parametrize('name', line_commands.COMMANDS)
def test_feature_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module(line_commands.COMMANDS[name][0])
    with pytest.raises(SystemExit, match='0'):
        main(['line', name, '--help'])
    out = capsys.readouterr().out
    assert module.HELP.partition('\n')[0] in out
    assert f'usage: mmdefect line {name}' in out


def test_exception_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (['line'], ['line', 'promot'], ['line', 'log']):
        with pytest.raises(SystemExit, match='2'):
            main(words)
        assert 'usage: mmdefect line' in capsys.readouterr().err


def test_feature_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (['log', folder.parent, '--traceback'], ['--traceback', 'log', 'x']):
        assert main(['line', *map(str, words)]) == 1
        assert 'Traceback' in capsys.readouterr().err
