"""``mmdefect line add-exam``, ``promote``, ``rollback`` and ``versions``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from tests.helpers import exam_toys as toys

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status, stdout and stderr of ``mmdefect line WORD my_line ...``."""

    def line(word: str, *more: object) -> tuple[int, str, str]:
        status = main(['line', word, str(tmp_path / 'line'), *map(str, more)])
        said = capsys.readouterr()
        return status, said.out, said.err

    assert line('init')[0] == 0
    return line


def test_smoke_a_life(run: Run, tmp_path: Path) -> None:
    annotations = toys.box_exam(tmp_path / 'exam', cracks=1, good=1)
    given = ('--annotations', annotations, '--note', 'Ada', '--lose', '0.1')
    status, out, _ = run('add-exam', 'frozen', *given)
    assert status == 0
    assert out.startswith('frozen: 6 images, 5 annotated boxes')
    assert run('versions')[1].startswith('no version yet')
    seeing = toys.box_package(tmp_path / 'seeing')
    blind = toys.blind_package(tmp_path / 'blind')
    status, out, _ = run('promote', seeing)
    assert status == 0
    assert out.splitlines()[-1].endswith('is v0001, the first version')
    status, out, err = run('promote', blind)
    assert (status, err) == (1, '')
    assert 'page: ' in out
    assert 'exam frozen: REFUSED' in out
    assert out.splitlines()[-1] == (
        'refused, v0001 stays: frozen: crack loses 100.0 points (1 of 1, now 0): '
        'expected 10.0 points at most (0 of 1)'
    )
    status, _, err = run('promote', blind, '--force')
    assert status == 1
    assert '--why' in err
    assert err.count('\n') == 1
    status, out, _ = run('promote', blind, '--force', '--why', 'a trial')
    assert status == 0
    assert 'is v0002, forced, in place of v0001' in out
    assert run('rollback', '--why', 'it is blind')[1] == 'v0001 is in use again\n'
    first, second = run('versions')[1].splitlines()
    assert first.startswith('* v0001')
    assert 'passed 1 exam  from' in first
    assert second.startswith('  v0002')
    assert 'forced, why: a trial' in second
    found = json.loads(run('versions', '--json')[1])
    assert found['current'] == 'v0001'
    assert [one['name'] for one in found['versions']] == ['v0001', 'v0002']
    assert run('verify')[0] == 0


def test_feature_forced_past_what_is_damaged(run: Run, tmp_path: Path) -> None:
    """Nothing was compared, or the log is not whole: forced, whatever exams say."""
    run('add-exam', 'frozen', '--annotations', toys.box_exam(tmp_path / 'exam'))
    run('promote', toys.box_package(tmp_path / 'first'))
    (tmp_path / 'line/versions/v0001/model.onnx').write_bytes(b'other')
    second = toys.box_package(tmp_path / 'second')
    said = run('promote', second, '--force', '--why', 'the disk')[1]
    assert 'is v0002, forced, in place of v0001' in said
    newest = run('versions')[1].splitlines()[-1]
    assert 'forced, why: the disk' in newest
    assert 'passed' not in newest
    assert 'v0002 since' in run('status')[1]
    assert '(forced promotion)' in run('status')[1]
    run('promote', toys.box_package(tmp_path / 'third'))
    (tmp_path / 'line/head.json').unlink()
    status, _, err = run('rollback', '--force')
    assert (status, err.count('\n')) == (1, 1)
    assert '--why' in err
    assert run('rollback')[0] == 1
    said = run('rollback', '--force', '--why', 'lost')[1]
    assert said == 'v0002 is in use again\n'
    assert run('verify')[0] == 1  # v0001 is damaged still
    assert '(forced rollback)' in run('status')[1]


def test_feature_json(run: Run, tmp_path: Path) -> None:
    run('add-exam', 'frozen', '--annotations', toys.box_exam(tmp_path / 'exam'))
    status, out, _ = run('promote', toys.box_package(tmp_path / 'p'), '--json')
    found = json.loads(out)
    assert (status, found['version'], found['passed']) == (0, 'v0001', True)
    assert found['verdicts'][0]['rows'][0]['kind'] == 'dent'
    assert Path(found['report']).is_file()


def test_feature_retired(run: Run, tmp_path: Path) -> None:
    run('add-exam', 'frozen', '--folder', toys.label_exam(tmp_path / 'exam'))
    status, _, err = run('add-exam', 'frozen', '--retire')
    assert status == 1
    assert 'expected the reason' in err
    why = ('--why', 'wrong labels')
    assert run('add-exam', 'frozen', *why)[0] == 1
    assert run('add-exam', 'frozen', '--retire', *why)[1] == 'frozen is retired\n'


@pytest.mark.parametrize(
    ('words', 'why'),
    [
        (['promote', 'nowhere'], 'nowhere holds no package.json'),
        (['rollback'], 'there is no version'),
        (['rollback', '--to', 'v0007'], 'has no version v0007'),
        (['add-exam', 'e'], 'an exam of nothing'),
        (['add-exam', 'e', '--folder', 'nowhere'], 'there is no folder nowhere'),
        (['add-exam', 'e', '--folder', '.', '--lose', '3'], 'lose=3.0'),
    ],
)
def test_exception_in_one_sentence(run: Run, words: list[str], why: str) -> None:
    status, _, err = run(*words)
    assert status == 1
    assert why in err
    assert err.count('\n') == 1


def test_exception_interrupted_says_what_is_in_use(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run('promote', toys.box_package(tmp_path / 'seeing'))[0] == 0

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr('mmdefect.line.promote._examined', stop)
    status, _, err = run('promote', toys.blind_package(tmp_path / 'blind'))
    assert status == 130
    assert err == '\nmmdefect: v0001 is in use\n\nmmdefect: interrupted\n'
