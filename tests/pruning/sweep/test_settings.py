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
        ({}, r'prune\.grid={}: expected the entries kind and values'),
        ({'kind': 'macs'}, 'expected the entries kind and values'),
        ({'kind': 'size', 'values': [0.1]}, "kind='size': expected one of"),
        ({'kind': 'macs', 'values': []}, r'=\[\]: expected shares'),
        ({'kind': 'macs', 'values': [0.0]}, 'above 0 and up to 1'),
        ({'kind': 'macs', 'values': [1.5]}, 'above 0 and up to 1'),
        ({'kind': 'macs', 'values': 'legacy'}, 'expected shares'),
        ({'kind': 'macs', 'values': [0.1, 0.10001]}, 'two are called macs-0.10'),
    ],
)
def test_exception_grid(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Grid.of(given)


@pytest.mark.parametrize(
    ('given', 'said'),
    [
        (None, 'prune: expected settings such as'),
        ({}, 'prune: expected settings such as'),
        ({'grid': {'kind': 'macs', 'values': [0.5]}}, 'lacks scorer'),
        (LEAST | {'score': 1}, "prune='score': expected one of scorer"),
        (LEAST | {'keep': {'kind': 'x'}}, "prune.keep='kind': expected one of type"),
        (LEAST | {'keep': {'type': 'x'}}, "prune.keep.type='x'"),
        (LEAST | {'recovery': None}, 'prune.recovery=None: expected a dict'),
        (
            LEAST | {'keep': {'type': 'uniform_legacy', 'round_to': 8}},
            'min_channels=1 and round_to=8: expected 1 of both',
        ),
        (LEAST | {'select': 'all'}, "prune.select='all'"),
        (LEAST | {'greedy': True}, "greedy=True and grid.kind='macs'"),
        (
            LEAST | {'grid': SHARES, 'keep': {'type': 'global'}},
            "keep.type='global' and grid.kind='fraction'",
        ),
        (
            LEAST | {'select': 'contrast', 'keep': {'type': 'global'}},
            "select='contrast' and keep.type='global'",
        ),
        (
            LEAST | {'select': 'union', 'keep': {'round_to': 8}},
            "select='union' and keep.round_to=8",
        ),
        (
            LEAST | {'greedy': True, 'keep': {'type': 'global'}},
            "greedy=True and keep.type='global'",
        ),
    ],
)
def test_exception_settings(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        prune_settings(given)


@pytest.mark.parametrize(
    ('kind', 'given', 'said'),
    [
        (ProbeSettings, {'c': ()}, r'probe\.c=0: expected more than 0'),
        (ProbeSettings, {'c': (0.0,)}, r'probe\.c=0\.0: expected more than 0'),
        (ProbeSettings, {'folds': 1}, 'folds=1: expected at least 2'),
        (ProbeSettings, {'max_iter': 0}, 'max_iter=0: expected at least 1'),
        (ProbeSettings, {'source': 'road'}, 'with a group'),
        (ProbeSettings, {'source': '(road'}, 'with a group'),
        (ProbeSettings, {'source': ('road',)}, 'with a group'),
        (RecoverySettings, {'bn_images': -1}, 'bn_images=-1: expected at least 0'),
        (RecoverySettings, {'distill': {'weight': 1.0}}, 'finetune=False: expected'),
        (RecoverySettings, {'distill': {'wait': 1.0}}, "distill='wait': expected one"),
        (DecideSettings, {'rule': 'best'}, "rule='best'"),
        (DecideSettings, {'cost': 'price'}, "cost='price'"),
        (DecideSettings, {'weights': {'price': 1}}, "weights='price': expected one of"),
        (DecideSettings, {'rule': 'weighted'}, 'expected weights'),
        (DecideSettings, {'weights': {'f1': 1.0}}, 'expected weights'),
    ],
)
def test_exception_parts(kind: Any, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**given)
