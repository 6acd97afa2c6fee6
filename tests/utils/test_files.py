from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmdefect.utils.files import (
    draft_of,
    in_one_piece,
    new_folder,
    refuse_full,
    write_json,
    write_text,
)
from mmdefect.utils.images import write_png


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
        with pytest.raises(FileExistsError), new_folder(path):
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
