"""Logged scalars, also of resumed and killed runs."""

from __future__ import annotations

import json

from mmdefect.visualization.logs import loss_series, read_scalars, series


def write(folder, stamp, rows, tail='') -> None:
    path = folder / stamp / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(
        ''.join(json.dumps(row) + '\n' for row in rows) + tail, encoding='utf-8'
    )


def test_smoke(tmp_path) -> None:
    assert read_scalars(tmp_path) == []
    write(tmp_path, '20260101_000000', [{'loss': 2.0, 'loss_cls': 1.0, 'step': 10}])
    assert loss_series(read_scalars(tmp_path)) == {
        'loss': ([10], [2.0]),
        'loss_cls': ([10], [1.0]),
    }


def test_feature_resumed_run_replaces_what_it_repeats(tmp_path) -> None:
    first = [{'loss': 9.0 - k, 'step': k} for k in (10, 20, 30)]
    first.insert(2, {'coco/AP50_all': 0.5, 'step': 2})
    write(tmp_path, '20260101_000000', first, tail='{"loss": 1.0, "st')
    write(tmp_path, '20260102_000000', [{'loss': 0.5, 'step': 20}])
    rows = read_scalars(tmp_path)
    assert loss_series(rows) == {'loss': ([10, 20], [-1.0, 0.5])}
    assert series(rows, ['coco/AP50_all', 'lr']) == {'coco/AP50_all': ([2], [0.5])}
