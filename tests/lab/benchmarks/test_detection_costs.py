"""What costs are measured on, at a size that takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from lab.benchmarks import detection_costs as costs
from lab.tables.benchmark_table import TARGETS, missed


def test_smoke_adamw() -> None:
    found = costs.merged_adamw(2, nn.Linear(3, 3), None)
    assert found['merged_adamw/adamw'] > 0


def test_feature_both_datasets_see_the_same(tmp_path: Path) -> None:
    path = costs.write_coco(tmp_path, 40, 200)
    ours, stock = costs.step_dataset(path), costs.stock_dataset(path)
    assert len(ours) == len(stock) > 10
    for index in range(len(ours)):
        one, other = ours.get_data_info(index), stock.get_data_info(index)
        assert {k: other[k] for k in one} == one


def test_feature_metric_and_evaluator_score_the_same_boxes(tmp_path: Path) -> None:
    found = costs.grouped_metric(2, images=4, each=10, progress=None)
    assert found['grouped_metric/faster_coco_eval'] > 0
    coco = costs.drawn_coco(4, 28, classes=3)
    predictions = costs.drawn_predictions(coco, each=10)
    assert [len(one['scores']) for one in predictions] == [10] * 4


def test_feature_targets() -> None:
    wanted = {
        'startup/mmdet_startup': 1.1,
        'dataset_build/cocodataset': 1.1,
        'grouped_metric/faster_coco_eval': 1.3,
        'cooccurrence_118k_s': 10,
        'dataset_118k_peak_gb': 1.5,
    }
    assert {name: TARGETS[name] for name in wanted} == wanted
    assert missed({name: value + 0.01 for name, value in wanted.items()}) == [*wanted]


def test_feature_a_start_draws_its_images(tmp_path: Path) -> None:
    costs.draw_steel(tmp_path, 8, 32)
    assert len(list(tmp_path.glob('*.jpg'))) == 10


def test_exception_a_process_that_fails() -> None:
    message = r'ended with 1: expected 0; .*ValueError: no'
    with pytest.raises(RuntimeError, match=message):
        costs._run('raise ValueError("no")')
