"""Table and page of a sweep."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config

from mmdefect.pruning.report import headline, sweep_table, write_sweep
from mmdefect.pruning.sweep.run import PruneRun
from tests.helpers.lines import Finished


def test_feature_page_table_and_files(done_config: Config, finished: Finished) -> None:
    folder, sweep = Path(done_config.work_dir), finished.sweep
    page = write_sweep(PruneRun(done_config), sweep, command='prune.py <script>')
    assert page == folder / 'index.html'  # is found from the work dir
    chosen = sweep.outcomes[sweep.chosen]
    html = page.read_text(encoding='utf-8')
    assert headline(sweep) in html
    assert 'prune.py &lt;script&gt;' in html
    assert '<script' not in html
    assert headline(sweep).startswith(f'{chosen.name}: ')
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


def test_feature_long_sweeps_are_thinned_in_the_table(finished: Finished) -> None:
    outcomes = finished.sweep.outcomes * 33
    many = replace(finished.sweep, outcomes=outcomes, chosen=50)
    names = [row[0] for row in sweep_table(many).rows]
    assert len(names) <= 30
    assert names[0] == 'dense'
    assert any(name.endswith('(chosen)') for name in names)


def test_feature_parent_is_a_row(finished: Finished) -> None:
    """The network as it was trained, above what was made of it."""
    sweep = finished.sweep
    parent = replace(sweep.outcomes[0], name='parent')
    above, first, *_ = sweep_table(replace(sweep, parent=parent)).rows
    dense = sweep_table(sweep).rows[0]
    assert (above[0], first[0]) == ('parent', dense[0])
    # It may be the chosen one.
    assert list(above[1:]) == list(dense[1:])
