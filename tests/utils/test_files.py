from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmdefect.utils.files import (
    draft_of,
    in_one_piece,
    is_stale,
    new_folder,
    refuse_full,
    write_json,
    write_text,
)
from mmdefect.utils.images import write_png
from tests.conftest import tool_env


def test_smoke_the_old_file_stays_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / 'a/b.json'
    write_json(path, {'x': [1, 2]})
    with in_one_piece(path) as draft:
        draft.write_text('ä', encoding='utf-8')
        assert json.loads(path.read_text(encoding='utf-8')) == {'x': [1, 2]}
    assert path.read_text(encoding='utf-8') == 'ä'
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_feature_an_error_leaves_the_old_file_and_no_draft(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / 'a.txt'
    draft_of(path).write_text('left by a kill', encoding='utf-8')
    write_text(path, 'old')

    def fail() -> None:
        with in_one_piece(path) as draft:
            draft.write_text('half', encoding='utf-8')
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text(encoding='utf-8') == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_exception_nothing_written(tmp_path: Path) -> None:
    """A block that forgot its draft is an error, not an empty file."""
    with pytest.raises(FileNotFoundError), in_one_piece(tmp_path / 'a.txt'):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('there', [False, True])
def test_feature_new_folder(tmp_path: Path, there: bool) -> None:
    out = tmp_path / 'a/out'
    if there:
        out.mkdir(parents=True)
    with new_folder(out) as part:
        write_json(part / 'deep/x.json', {'a': 1})
        write_png(part / 'y.png', np.zeros((2, 2), np.uint8))
        assert not (out / 'deep').exists()
    assert json.loads((out / 'deep/x.json').read_text(encoding='utf-8')) == {'a': 1}
    assert sorted(p.name for p in out.parent.iterdir()) == ['out']


def test_exception_full(tmp_path: Path) -> None:
    (tmp_path / 'x').write_text('', encoding='utf-8')
    for path in (tmp_path, tmp_path / 'x'):
        with pytest.raises(FileExistsError, match='expected a new or empty folder; '):
            refuse_full(path)
        cured = pytest.raises(
            FileExistsError, match=r'empty folder; call it otherwise$'
        )
        with cured, new_folder(path, cure='call it otherwise'):
            raise AssertionError('nothing may be written')


def test_exception_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """Its name is like that of a draft, and nobody knows whose it is."""
    theirs = tmp_path / 'out.part/work.txt'
    theirs.parent.mkdir()
    theirs.write_text('mine', encoding='utf-8')
    message = r'out\.part holds something already \(a conversion that was killed may'
    with pytest.raises(FileExistsError, match=message), new_folder(tmp_path / 'out'):
        raise AssertionError('nothing may be written')
    assert theirs.read_text(encoding='utf-8') == 'mine'


KILLED = """
import os, sys
from pathlib import Path
from mmdefect.utils.files import new_folder

with new_folder(Path(sys.argv[1])) as draft:
    (draft / 'half').touch()
    if len(sys.argv) > 2:
        print('writing', flush=True)
        sys.stdin.read()
    os.kill(os.getpid(), 9)
"""


def test_feature_a_kill_is_made_good(tmp_path: Path) -> None:
    """What it has left is replaced, and is never a reason to refuse."""
    out = tmp_path / 'out'
    done = subprocess.run(
        [sys.executable, '-c', KILLED, out], env=tool_env(), check=False
    )
    assert done.returncode == -9
    assert (tmp_path / 'out.part/draft/half').is_file()
    with new_folder(out) as draft:
        write_text(draft / 'whole', '')
    assert [path.relative_to(out) for path in out.iterdir()] == [Path('whole')]
    assert [*tmp_path.iterdir()] == [out]


def test_exception_somebody_is_writing(tmp_path: Path) -> None:
    """Two at once: the second is refused and takes nothing from the first."""
    out = tmp_path / 'out'
    with subprocess.Popen(
        [sys.executable, '-c', KILLED, out, 'wait'],
        env=tool_env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b'writing\n'
        message = rf'out\.part is being written by process {other.pid} on '
        with pytest.raises(FileExistsError, match=message), new_folder(out):
            raise AssertionError('nothing may be written')
        assert (tmp_path / 'out.part/draft/half').is_file()
        other.stdin.close()


def test_exception_full_disk(tmp_path: Path) -> None:
    """Python names no file when a write fails."""

    def fail() -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    for writing in (in_one_piece, new_folder):
        with (
            pytest.raises(OSError, match=r"device: '.*/out'$"),
            writing(tmp_path / 'out'),
        ):
            fail()
    assert not [*tmp_path.iterdir()]


def test_feature_a_failure_leaves_no_half_folder(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path / 'out') as part:
            write_json(part / 'x.json', 1)
            raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        fail()
    assert not list(tmp_path.iterdir())


def test_exception_png(tmp_path: Path) -> None:
    (tmp_path / 'x.png').mkdir()
    with pytest.raises(OSError, match=r'cannot write .*x\.png'):
        write_png(tmp_path / 'x.png', np.zeros((2, 2), np.uint8))


def test_feature_what_is_made_of_other_files_is_stale(tmp_path: Path) -> None:
    source, made = tmp_path / 'weights.pth', tmp_path / 'result.json'
    source.touch()
    assert is_stale(made, source)
    made.touch()
    os.utime(source, ns=(1, 1_000))
    os.utime(made, ns=(1, 1_000))
    assert not is_stale(made, source, tmp_path / 'removed.pth')
    os.utime(source, ns=(1, 1_001))
    assert is_stale(made, source)


@pytest.mark.parametrize('lasting', [False, True])
def test_feature_what_has_to_outlive_a_power_cut_is_flushed(
    tmp_path: Path, lasting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before it takes its name, and the names in the folder after."""
    path, seen = tmp_path / 'a.json', []
    monkeypatch.setattr(
        'mmdefect.utils.files.flush', lambda p: seen.append((p, path.exists()))
    )
    write_json(path, 1, lasting=lasting)
    assert seen == [(draft_of(path), False), (tmp_path, True)] * lasting
