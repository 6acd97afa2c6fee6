from __future__ import annotations

import json

import pytest

from mmdefect.utils.files import draft_of, in_one_piece, write_json, write_text


def test_smoke_writes_and_makes_the_folder(tmp_path):
    write_json(tmp_path / 'a' / 'b.json', {'x': [1, 2]})
    assert json.loads((tmp_path / 'a' / 'b.json').read_text(encoding='utf-8')) == {
        'x': [1, 2]
    }
    write_text(tmp_path / 'a' / 'b.json', 'ä')
    assert (tmp_path / 'a' / 'b.json').read_text(encoding='utf-8') == 'ä'
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['b.json']


def test_feature_the_old_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / 'a.txt'
    write_text(path, 'old')
    with in_one_piece(path) as draft:
        draft.write_text('new', encoding='utf-8')
        assert path.read_text(encoding='utf-8') == 'old'
    assert path.read_text(encoding='utf-8') == 'new'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_feature_an_error_leaves_the_old_file_and_no_draft(tmp_path, error):
    path = tmp_path / 'a.txt'
    write_text(path, 'old')

    def fail():
        with in_one_piece(path) as draft:
            draft.write_text('half', encoding='utf-8')
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text(encoding='utf-8') == 'old'
    assert list(tmp_path.iterdir()) == [path]


def test_feature_what_a_kill_left_is_overwritten(tmp_path):
    draft_of(tmp_path / 'a.txt').write_text('half', encoding='utf-8')
    write_text(tmp_path / 'a.txt', 'new')
    assert (tmp_path / 'a.txt').read_text(encoding='utf-8') == 'new'
    assert len(list(tmp_path.iterdir())) == 1


def test_exception_nothing_written(tmp_path):
    """A block that forgot its draft is an error, not an empty file."""
    with pytest.raises(FileNotFoundError), in_one_piece(tmp_path / 'a.txt'):
        pass
    assert not list(tmp_path.iterdir())
