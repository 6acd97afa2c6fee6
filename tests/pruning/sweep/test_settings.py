"""What ``prune`` of a config may say."""

from __future__ import annotations

from typing import Any

import pytest

from mmdefect.pruning.sweep.settings import (
    DecideSettings,
    Grid,
    ProbeSettings,
    RecoverySettings,
    candidate_name,
    prune_settings,
)

LEAST: dict[str, Any] = {
    'scorer': {'type': 'mmdefect.L1Norm'},
    'grid': {'kind': 'macs', 'values': [0.5]},
}
SHARES = {'kind': 'fraction', 'values': [0.5]}


def test_smoke_least_and_all() -> None:
    least = prune_settings(LEAST)
    assert least.keep.type == 'uniform'
    assert least.recovery == RecoverySettings()
    full = prune_settings(
        LEAST
        | {
            'keep': {'type': 'global', 'round_to': 8},
            'probe': {'c': [1.0, 10.0], 'folds': 3},
            'recovery': {'finetune': True, 'distill': {'weight': 1.0}},
            'decide': {'rule': 'weighted', 'weights': {'f1': 1.0}},
            'protect': ['backbone.conv1'],
        }
    )
    # What --cfg-options prune.protect=backbone.conv1 gives.
    assert prune_settings(LEAST | {'protect': 'a.b'}).protect == ('a.b',)
    assert full.probe.c == (1.0, 10.0)
    assert full.protect == ('backbone.conv1',)


def test_feature_grid_of_the_release() -> None:
    grid = Grid.of({'kind': 'fraction', 'values': 'legacy'})
    assert len(grid.values) == 99
    names = list(grid.candidates)
    assert names[0] == 'fraction-0.01'
    assert names[-1] == 'fraction-0.99'
    assert len(set(names)) == 99


@pytest.mark.parametrize(
    ('value', 'name'),
    [(0.5, 'macs-0.50'), (0.125, 'macs-0.125'), (1.0, 'macs-1.00'), (0.3, 'macs-0.30')],
)
def test_feature_names_sort_and_read(value: float, name: str) -> None:
    assert candidate_name('macs', value) == name


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        ({}, 'nothing: expected kind and values'),
        ({'kind': 'macs'}, 'kind: expected kind and values'),
        ({'kind': 'size', 'values': [0.1]}, "kind='size': expected one of"),
        ({'kind': 'macs', 'values': []}, r'is \[\]: expected shares'),
        ({'kind': 'macs', 'values': [0.0]}, 'above 0 and up to 1'),
        ({'kind': 'macs', 'values': [1.5]}, 'above 0 and up to 1'),
        ({'kind': 'macs', 'values': 'legacy'}, 'expected shares'),
        ({'kind': 'macs', 'values': [0.1, 0.10001]}, 'of the name macs-0.10'),
    ],
)
def test_exception_grid(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Grid.of(given)


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (None, 'has no prune'),
        ({}, 'has no prune'),
        ({'grid': {'kind': 'macs', 'values': [0.5]}}, 'lacks scorer'),
        (LEAST | {'score': 1}, "prune has 'score': expected scorer"),
        (LEAST | {'keep': {'kind': 'x'}}, "prune.keep has 'kind'"),
        (LEAST | {'keep': {'type': 'x'}}, "prune.keep.type is 'x'"),
        (LEAST | {'recovery': None}, 'prune.recovery is None: expected a dict'),
        (
            LEAST | {'keep': {'type': 'uniform_legacy', 'round_to': 8}},
            "the release's own numbers, with min_channels=1 and round_to=8",
        ),
        (LEAST | {'select': 'all'}, "prune.select is 'all'"),
        (LEAST | {'greedy': True}, "greedy=True and grid.kind='macs'"),
        (
            LEAST | {'grid': SHARES, 'keep': {'type': 'global'}},
            "keep.type='global' and shares",
        ),
    ],
)
def test_exception_settings(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prune_settings(given)


@pytest.mark.parametrize(
    ('kind', 'given', 'said'),
    [
        (ProbeSettings, {'c': ()}, 'positive strengths'),
        (ProbeSettings, {'c': (0.0,)}, 'positive strengths'),
        (ProbeSettings, {'folds': 1}, '2 folds'),
        (ProbeSettings, {'max_iter': 0}, '1 step'),
        (ProbeSettings, {'source': 'road'}, 'with a group'),
        (ProbeSettings, {'source': '(road'}, 'with a group'),
        (ProbeSettings, {'source': ('road',)}, 'with a group'),
        (RecoverySettings, {'bn_images': -1}, '0 or more'),
        (RecoverySettings, {'distill': {'weight': 1.0}}, 'without finetune'),
        (DecideSettings, {'rule': 'best'}, "rule is 'best'"),
        (DecideSettings, {'cost': 'price'}, "cost is 'price'"),
        (DecideSettings, {'rule': 'weighted'}, 'expected weights'),
        (DecideSettings, {'weights': {'f1': 1.0}}, 'expected weights'),
    ],
)
def test_exception_parts(kind: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**given)
