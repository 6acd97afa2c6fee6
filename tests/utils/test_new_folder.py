from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmdefect.utils.files import new_folder, refuse_full, write_json
from mmdefect.utils.images import write_png


@pytest.mark.parametrize('there', [False, True])
def test_smoke(tmp_path: Path, there: bool) -> None:
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
        with pytest.raises(FileExistsError, match='expected a new or empty folder'):
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
    out = tmp_path / 'out'

    def fail() -> None:
        with new_folder(out) as part:
            write_json(part / 'x.json', 1)
            raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        fail()
    assert not list(tmp_path.iterdir())


def test_exception_png(tmp_path: Path) -> None:
    (tmp_path / 'x.png').mkdir()
    with pytest.raises(OSError, match=r'Cannot write .*x\.png'):
        write_png(tmp_path / 'x.png', np.zeros((2, 2), np.uint8))
