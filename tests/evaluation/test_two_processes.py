"""Metrics of two processes; slow because torchrun starts three processes."""

from __future__ import annotations

import json
import math

import pytest
import torch

from tests.conftest import HELPERS
from tests.helpers.metric_run import KINDS, score
from tests.helpers.ranks import run_ranks


@pytest.mark.slow
def test_feature_two_processes_equal_one(warm, tmp_path) -> None:
    """Thirteen images, bit for bit, NaN included."""
    run_ranks(HELPERS / 'metric_run.py', tmp_path, programs=warm)
    ranks = [torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2)]
    alone = {}
    for kind, (_, make, _) in KINDS.items():
        samples = make()
        one = alone[kind] = score(kind, samples, len(samples))
        for rank in ranks:
            assert rank[kind].keys() == one.keys()
            for name, value in one.items():
                assert float(rank[kind][name]).hex() == float(value).hex(), name
    for kind in ('exact', 'streaming'):
        assert 0 < alone[kind]['anomaly/aupro/cable'] < 1
        assert math.isnan(alone[kind]['anomaly/aupro/screw'])
    assert alone['class']['defect/miss'] > 0
    assert alone['class']['defect/false_alarm'] == 0
    assert alone['saliency']['saliency/unmasked'] == 2
    assert 0 < alone['saliency']['saliency/iou'] < 1
    lines = (tmp_path / 'images.jsonl').read_text(encoding='utf-8').splitlines()
    assert [json.loads(line)['path'] for line in lines] == [
        entry['img_path'] for entry in KINDS['class'][1]()
    ]
