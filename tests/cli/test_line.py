"""``mmdefect line``: init, log, verify, and the table of the others."""

from __future__ import annotations

import argparse
import hashlib
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
    more, first, second, third = out.splitlines()
    assert status == 0
    assert more.startswith('3 older ones are not listed; give a larger --limit')
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


def test_feature_log_is_cut_for_persons_only(said: Said, folder: Path) -> None:
    """Other programs get all, and no word beside it, unless they say how many."""
    log = Line(folder).log
    log.append_many([{'kind': 'decision', 'version': 'v0002'}] * 24)
    for words, rows in {
        (): 1 + 20,
        ('--limit', 30): 30,
        ('--limit', 31, '--version', 'v0002'): 26,
        ('--json',): 30,
        ('--json', '--limit', 3): 3,
        ('--json', '--kind', 'decision', '--until', '2020-01-01'): 0,
    }.items():
        status, out, _ = said('log', folder, *words)
        assert (status, len(out.splitlines())) == (0, rows)
        if '--json' in words:
            ids = [json.loads(line)['id'] for line in out.splitlines()]
            assert ids == [*range(31 - rows, 31)]
    assert said('log', folder, '--kind', 'decision')[1].startswith('8 older ones')


def test_feature_log_of_an_image(
    said: Said, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meant in the same ways as of a verdict."""
    monkeypatch.chdir(tmp_path)
    photo = tmp_path / 'elsewhere.png'
    photo.write_bytes(b'a')
    name = hashlib.sha256(b'a').hexdigest()
    row = Line(folder).log.append('decision', image=name, source='/photos/a.png')
    for given in (name, name[:8], 'elsewhere.png', 'a.png', '/photos/a.png'):
        (line,) = said('log', folder, '--image', given)[1].splitlines()
        assert line.split()[0] == str(row.id)


def test_feature_log_says_what_became_of_versions(said: Said, folder: Path) -> None:
    log = Line(folder).log
    given = {'source': '/packages/new', 'why': None, 'reasons': []}
    log.append_many(
        [
            {'kind': kind, 'version': version, 'body': body}
            for kind, version, body in (
                (
                    'note',
                    None,
                    {
                        'what': 'exam added',
                        'exam': 'frozen',
                        'limits': {'lose': 0.5, 'false_alarms': None, 'least': 0.9},
                        'note': 'drawn',
                        'by': 'Anna',
                    },
                ),
                ('promotion', 'v0001', {**given, 'state': 'promoted', 'from': None}),
                (
                    'promotion',
                    None,
                    {
                        **given,
                        'state': 'refused',
                        'from': 'v0001',
                        'reasons': ['frozen: crack loses 100 points'],
                    },
                ),
                (
                    'promotion',
                    'v0002',
                    {
                        **given,
                        'state': 'promoted',
                        'from': 'v0001',
                        'forced': True,
                        'why': 'a trial',
                    },
                ),
                ('rollback', 'v0001', {'from': 'v0002', 'why': 'it is blind'}),
                ('note', 'v0001', {'what': 'reference', 'origin': 'a', 'images': 4}),
                ('note', None, {'what': 'exam retired', 'exam': 'frozen', 'why': 'w'}),
            )
        ]
    )
    lines = said('log', folder, '--limit', 7)[1].splitlines()[1:]
    assert [line.split('Z  ')[1].split(maxsplit=2)[2] for line in lines] == [
        'exam added frozen  least 0.9  lose 0.5  note: drawn  by: Anna',
        'promoted  package: /packages/new',
        'refused  v0001 stays  package: /packages/new  frozen: crack loses 100 points',
        'promoted, forced  in place of v0001  package: /packages/new  why: a trial',
        'in place of v0002  why: it is blind',
        'reference  origin: a',
        'exam retired frozen  why: w',
    ]


def test_exception_log(said: Said, folder: Path) -> None:
    for words, why in {
        ('--limit', 0): '--limit=0: expected at least 1',
        ('--since', 'x'): "since='x': expected a time",
        ('--image', 'abcdefabcdef'): 'is no image of the log: expected one that was',
        ('--image', '00000000'): 'fits 4: ',
        ('--version', 'v1'): '--version v1 is in no row of',
        ('--defect', 'scratchs'): "names the unknown class 'scratchs': expected some",
    }.items():
        status, _, err = said('log', folder, *words)
        assert status == 1
        assert why in err
    assert 'is no line (no line.json)' in said('log', folder.parent)[2]


def test_feature_log_without_a_row_says_so(said: Said, folder: Path) -> None:
    assert said('log', folder, '--since', '2030-01-01') == (0, 'no row\n', '')
    assert said('log', folder, '--since', '2030-01-01', '--json') == (0, '', '')


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


@pytest.mark.parametrize('name', line_commands.COMMANDS)
def test_feature_help_names_choices_as_errors_do(name: str) -> None:
    """What an error of argparse lists stands in the help, letter for letter."""
    parser = argparse.ArgumentParser()
    import_module(line_commands.COMMANDS[name][0]).add_arguments(parser)
    said = ' '.join(parser.format_help().split())
    for action in parser._actions:
        assert all(choice in said for choice in action.choices or ())


def test_exception_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (['line'], ['line', 'promot'], ['line', 'log']):
        with pytest.raises(SystemExit, match='2'):
            main(words)
        assert 'usage: mmdefect line' in capsys.readouterr().err


def test_feature_traceback(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (['log', folder.parent, '--traceback'], ['--traceback', 'log', 'x']):
        assert main(['line', *map(str, words)]) == 1
        assert 'Traceback' in capsys.readouterr().err
