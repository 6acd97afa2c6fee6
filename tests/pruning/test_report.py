"""Table and page of a sweep."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.pruning.report import headline, sweep_table, write_sweep
from mmdefect.pruning.sweep.run import PruneRun
from mmdefect.pruning.sweep.stages import run_all


@pytest.fixture
def run(line_config: Config) -> PruneRun:
    line_config.prune.grid.update({'values': [0.25, 0.5]})
    return PruneRun(line_config, progress=lambda line: None)


def test_feature_page_table_and_files(run: PruneRun) -> None:
    sweep = run_all(run)
    page = write_sweep(run, sweep, command='python tools/prune.py a.py')
    chosen = sweep.outcomes[sweep.chosen]
    assert headline(sweep) in page.read_text(encoding='utf-8')
    assert headline(sweep).startswith(f'{chosen.name}: ')
    folder = run.work_dir
    with (folder / 'sweep.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['network'] for row in rows] == [o.name for o in sweep.outcomes]
    assert [row['chosen'] for row in rows].index('1') == sweep.chosen
    assert float(rows[1]['test_f1']) == sweep.outcomes[1].test['test'].f1
    summary = json.loads((folder / 'summary.json').read_text(encoding='utf-8'))
    assert summary['chosen'] == chosen.name
    assert summary['duration_s'] == 0  # tools/prune.py counts
    for name in ('parameters', 'latency', 'widths'):
        assert (folder / f'sweep_{name}.png').stat().st_size > 1000
    assert '(chosen)' in (folder / 'sweep.md').read_text(encoding='utf-8')


def test_feature_long_sweeps_are_thinned_in_the_table(run: PruneRun) -> None:
    sweep = run_all(run)
    many = type(sweep)(outcomes=sweep.outcomes * 33, chosen=50)
    names = [row[0] for row in sweep_table(many).rows]
    assert len(names) <= 30
    assert names[0] == 'dense'
    assert any(name.endswith('(chosen)') for name in names)


def test_feature_parent_is_a_row(run: PruneRun) -> None:
    """The network as it was trained, above what was made of it."""
    sweep = run_all(run)
    parent = replace(sweep.outcomes[0], name='parent')
    table = sweep_table(replace(sweep, parent=parent))
    assert [row[0] for row in table.rows[:2]] == [
        'parent',
        sweep_table(sweep).rows[0][0],
    ]
    assert list(table.rows[0][1:]) == list(sweep_table(sweep).rows[0][1:])


def test_smoke_page_is_found_from_the_work_dir(run: PruneRun) -> None:
    page = write_sweep(run, run_all(run), command='c')
    assert page == Path(run.work_dir) / 'index.html'
