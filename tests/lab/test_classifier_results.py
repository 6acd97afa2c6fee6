"""Classifiers in a results file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.classifier_results import add_rows
from mmdefect.comparison.report import read_rows
from tests.helpers.study_runs import PERFECT, WorkDir


def test_feature_runs_are_added(make_run: WorkDir, repository: Path) -> None:
    path = repository / 'casting_cpu.json'
    add_rows(path, read_rows([make_run('a')]), dataset='castings')
    other = make_run('b', PERFECT, recipe='legacy', protocol='legacy', command='other')
    add_rows(path, read_rows([other]), dataset='castings')
    content = json.loads(path.read_text(encoding='utf-8'))
    metrics = content['metrics']
    assert metrics['luna/default/cluster_level/errors'] == 2
    assert metrics['luna/default/cluster_level/miss'] == 1
    assert metrics['luna/default/cluster_level/false_alarm'] == 1
    assert metrics['luna/default/cluster_level/trainable'] == 115_088
    assert metrics['luna/legacy/legacy/errors'] == 0
    assert content['name'] == 'casting_cpu'
    assert content['seeds'] == [0]
    assert content['duration_s'] == 50.0  # 2 x 2 epochs of 12.5 s
    assert content['command'].endswith('luna_casting.py 1; other')
    add_rows(path, read_rows([make_run('again', PERFECT)]), dataset='castings')
    content = json.loads(path.read_text(encoding='utf-8'))
    assert content['metrics']['luna/default/cluster_level/errors'] == 0
    assert len(content['runs']) == 2
    with pytest.raises(ValueError, match="dataset='bolts': expected 'castings'"):
        add_rows(path, read_rows([other]), dataset='bolts')


def test_exception(make_run: WorkDir, repository: Path) -> None:
    rows = read_rows([make_run('c', commit='0123456789-dirty')])
    with pytest.raises(RuntimeError, match='clean commit'):
        add_rows(repository / 'x.json', rows, dataset='castings')
    rows = read_rows([make_run('a'), make_run('b', command='with other options')])
    with pytest.raises(ValueError, match='a config of its own'):
        add_rows(repository / 'x.json', rows, dataset='castings')
    assert not (repository / 'x.json').exists()


def test_feature_seeds_beside_each_other(make_run: WorkDir, repository: Path) -> None:
    """The first keeps the name, others say their seed; each replaces itself only."""
    path = repository / 'casting_cpu.json'
    for name, seed, said in (('a', 42, PERFECT), ('b', 0, PERFECT), ('c', 0, None)):
        run = make_run(name, *([said] if said else []), seed=seed, command=f'{seed}')
        add_rows(path, read_rows([run]), dataset='castings')
    content = json.loads(path.read_text(encoding='utf-8'))
    assert content['seeds'] == [0, 42]
    assert content['metrics']['luna/default/cluster_level/errors'] == 0
    assert content['metrics']['luna/default+seed-0/cluster_level/errors'] == 2
    assert len(content['runs']) == 2
