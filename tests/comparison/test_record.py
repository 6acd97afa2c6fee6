"""``run.json``: written, read, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdefect.comparison.record import BEGUN, begin_run, read_record, write_record
from tests.helpers.study_runs import RECORD


def test_smoke_round_trip(tmp_path: Path) -> None:
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ['run.json']


def test_feature_names() -> None:
    assert RECORD.label == 'luna'
    assert RECORD.key == 'luna/default/cluster_level'
    other = replace(RECORD, recipe='legacy', freeze='head', protocol='legacy')
    assert other.label == 'luna legacy head'
    assert other.key == 'luna/legacy+head/legacy'


def test_exception_unfinished_or_something_else(tmp_path: Path) -> None:
    path = tmp_path / 'run.json'
    with pytest.raises(FileNotFoundError, match=r'run\.json: expected a work dir'):
        read_record(tmp_path)
    path.write_text('{', encoding='utf-8')
    with pytest.raises(ValueError, match='expected a run record'):
        read_record(tmp_path)
    path.write_text(json.dumps({'model': 'luna'}), encoding='utf-8')
    with pytest.raises(ValueError, match=r'run record, not more or fewer \(checkp'):
        read_record(tmp_path)


def test_feature_begun_again_with_the_same_command(tmp_path: Path) -> None:
    first = begin_run(tmp_path, 'train a')
    assert set(first) == {'commit', 'hardware', 'software'}
    # Trained for an hour at another commit, then killed.
    begun = json.loads((tmp_path / BEGUN).read_text(encoding='utf-8'))
    begun['environment']['commit'] = 'before'
    (tmp_path / BEGUN).write_text(json.dumps(begun), encoding='utf-8')
    (tmp_path / 'last_checkpoint').write_text('epoch_3.pth', encoding='utf-8')
    again = begin_run(tmp_path, 'train a')
    assert again == {**first, 'commit': f'before; {first["commit"]}'}


def test_exception_begun_with_another_command(tmp_path: Path) -> None:
    """Nothing of a killed run is mixed with other options."""
    begin_run(tmp_path, 'train a')
    with pytest.raises(ValueError, match=r'\(begun.json: train a\), not train b; give'):
        begin_run(tmp_path, 'train b')
    # Of checkpoints without a note nobody knows what trained them.
    (tmp_path / BEGUN).unlink()
    (tmp_path / 'last_checkpoint').write_text('epoch_3.pth', encoding='utf-8')
    with pytest.raises(ValueError, match=r'\(begun.json: unknown\), not train a'):
        begin_run(tmp_path, 'train a')
