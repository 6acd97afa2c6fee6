"""``mmdefect line queue`` from the shell."""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from mmdefect.line import queue
from mmdefect.line.folder import Line
from mmdefect.line.settings import QueueRule
from mmdefect.utils.files import file_sha256 as hash_of
from tests.helpers.reviewed_line import decide, draw, make_line

Out = pytest.CaptureFixture[str]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """Three wait, as many as there may."""
    monkeypatch.chdir(tmp_path)
    line = make_line(tmp_path / 'l', queue=QueueRule(limit=3))
    for seed in range(3):
        row = decide(line, draw(Path(f'{seed}.png'), seed))
        queue.enqueue(line, row, 'margin')
    decide(line, draw(Path('seen.png'), 3))
    for seed, folder in enumerate('ab', start=4):
        decide(line, draw(Path(folder, 'same.png'), seed))
    return line


def test_smoke(line: Line, capsys: Out) -> None:
    assert main(['line', 'queue', 'l', '--limit', '2']) == 0
    *listed, end = capsys.readouterr().out.splitlines()
    assert [one.split()[-2] for one in listed] == ['0.png', '1.png']
    assert '  margin           v0001  ok (0.25 of 0.5)  0.png' in listed[0]
    assert end == (
        '3 wait, 2 of them shown; that is as many as it takes (3): later ones are not '
        'taken until some are done'
    )
    assert main(['line', 'queue', 'l', '--json']) == 0
    found = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [one['source'] for one in found] == ['0.png', '1.png', '2.png']
    assert main(['line', 'queue', 'l', '--dismiss', found[0]['image']]) == 0
    row = next(line.log.rows(newest=True))
    assert capsys.readouterr().out == f'dismissed, row {row.id}; 2 wait\n'
    assert (row.kind, row.image, row.source) == ('note', found[0]['image'], '0.png')
    assert row.body == {'what': 'dismissed', 'queued': 'margin'}
    assert main(['line', 'queue', 'l']) == 0
    assert capsys.readouterr().out.splitlines()[-1] == '2 wait'
    assert line.log.count(kind='verdict') == 0


def test_feature_what_could_not_be_read_is_dismissed_by_name(
    line: Line, capsys: Out
) -> None:
    line.log.append('decision', source='empty.png', body={'error': 'zero bytes'})
    queue.done(line, queue.entries(line)[0].image)
    row = next(line.log.rows(newest=True))
    assert queue.enqueue(line, row, 'error', 'cannot read empty.png (zero bytes)')
    assert main(['line', 'queue', 'l']) == 0
    assert ', cannot read empty.png (zero bytes)  empty.png' in capsys.readouterr().out
    assert main(['line', 'verdict', 'l', 'confirmed', 'empty.png']) == 1
    assert 'queue LINE --dismiss' in capsys.readouterr().err
    assert main(['line', 'queue', 'l', '--dismiss', 'empty.png', '--by', 'Bo']) == 0
    assert capsys.readouterr().out == f'dismissed, row {row.id + 1}; 2 wait\n'
    row = next(line.log.rows(newest=True))
    assert (row.image, row.source, row.body['by']) == (None, 'empty.png', 'Bo')
    assert line.verify().ok
    assert main(['line', 'queue', 'l', '--by', 'Bo']) == 1
    assert '--by: expected --dismiss' in capsys.readouterr().err


def test_exception(line: Line, capsys: Out) -> None:
    assert main(['line', 'queue', 'l', '--limit', '0']) == 1
    assert '--limit=0: expected at least 1' in capsys.readouterr().err
    for given in ('abc', 'same.png', 'unread:abc'):
        assert main(['line', 'queue', 'l', '--dismiss', given]) == 1
        assert f"'{given}' is not in the queue: " in capsys.readouterr().err
    assert queue.count(line) == 3


def test_feature_dismissed_by_what_a_verdict_takes(line: Line, capsys: Out) -> None:
    Path('0.png').rename('renamed.png')
    left = ('2 wait', '1 waits', '0 wait')
    for given, wait in zip(
        ('renamed.png', '1.png', hash_of('2.png')[:8]), left, strict=True
    ):
        assert main(['line', 'queue', 'l', '--dismiss', given]) == 0
        assert capsys.readouterr().out.endswith(f'; {wait}\n')
    row = line.log.append('decision', source='gone.png', decision='undecided')
    queue.enqueue(line, row, 'error')
    (entry,) = queue.entries(line)
    assert main(['line', 'queue', 'l', '--dismiss', entry.image]) == 0
    assert queue.count(line) == 0


def test_feature_json_is_whole(line: Line, capsys: Out) -> None:
    """A person gets twenty lines, another program gets all."""
    more = make_line(Path('many'), queue=QueueRule(limit=30))
    for number in range(25):
        row = more.log.append('decision', image=f'{number:064x}', decision='ok')
        queue.enqueue(more, row, 'margin')
    for words, lines in {(): 20 + 1, ('--json',): 25, ('--limit', '22'): 23}.items():
        assert main(['line', 'queue', 'many', *words]) == 0
        assert len(capsys.readouterr().out.splitlines()) == lines


def test_feature_help_states_the_rule(capsys: Out) -> None:
    """In the words of the docstring: there is one place to change it."""
    with pytest.raises(SystemExit):
        main(['line', 'queue', '--help'])
    said = capsys.readouterr().out
    rule = cleandoc(queue.consider.__doc__ or '').partition('\n\nArgs')[0]
    assert rule in said
    for word in ('error:', 'unknown product:', 'margin:', 'queue.limit'):
        assert word in rule


def test_feature_names_of_files_are_printed_visibly(line: Line, capsys: Out) -> None:
    queue.done(line, queue.entries(line)[0].image)
    row = decide(line, draw(Path('a\x1b[2J\n.png'), 9))
    assert queue.enqueue(line, row, 'margin')
    assert main(['line', 'queue', 'l']) == 0
    assert main(['line', 'verdict', 'l', 'confirmed', str(row.image)]) == 0
    out = capsys.readouterr().out
    assert out.count('a\\x1b[2J\\n.png') == 2
    assert '\x1b' not in out
