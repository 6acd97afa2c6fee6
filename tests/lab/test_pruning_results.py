"""Networks of sweeps in a results file, and its table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.pruning_results import add_sweeps, read_summary, trade_off_of
from lab.tables.pruning_table import is_pruning, pruning_lines
from mmdefect.utils.files import write_json

QUALITY = {'accuracy': 0.9, 'f1': 0.9, 'misses': 1, 'false_alarms': 1}


def outcome(
    name: str, parameters: int, good: float, elsewhere: float
) -> dict[str, Any]:
    quality = {'images': 200, **QUALITY}
    return {
        'name': name,
        'cost': {
            'parameters': parameters,
            'macs': 5 * parameters,
            'latency_ms_p50': parameters / 100,
            'latency_ms_p95': parameters / 50,
            'threads': 1,
        },
        'tested_on': 'the data',
        'test': {
            'test': {**quality, 'balanced_accuracy': good},
            'crackforest': {**quality, 'balanced_accuracy': elsewhere},
        },
    }


def work_dir(folder: Path, seed: int, good: float, recipe: str = 'a') -> Path:
    write_json(
        folder / 'summary.json',
        {
            'recipe': recipe,
            'parent': outcome('parent', 1000, 0.95, 0.75),
            'chosen': 'parameters-0.10',
            'seed': seed,
            'command': f'python tools/prune.py a.py seed={seed}',
            'duration_s': 60.0,
            'commit': '0123456789abcdef0123456789abcdef01234567',
            'hardware': 'a test',
            'software': 'Python',
            'outcomes': [
                outcome('dense', 1000, 0.9, 0.7),
                outcome('parameters-0.10', 100, good, 0.6),
            ],
        },
    )
    return folder


def test_feature_mean_and_deviation_over_seeds(
    tmp_path: Path, repository: Path
) -> None:
    path = repository / 'cracks_cpu.json'
    folders = [
        work_dir(tmp_path / str(s), s, good) for s, good in ((0, 0.8), (1, 0.84))
    ]
    add_sweeps(path, {'alexnet/default': folders}, dataset='cracks')
    add_sweeps(path, {'alexnet/dense': folders[:1]}, dataset='cracks', take='dense')
    content = json.loads(path.read_text(encoding='utf-8'))
    metrics = content['metrics']
    assert metrics['alexnet/default/balanced_accuracy_mean'] == pytest.approx(0.82)
    assert metrics['alexnet/default/balanced_accuracy_std'] == pytest.approx(
        0.04 / 2**0.5
    )
    assert metrics['alexnet/default/crackforest_balanced_accuracy_mean'] == 0.6
    assert metrics['alexnet/default/params'] == 100
    assert metrics['alexnet/default/params_share'] == 0.1
    assert metrics['alexnet/default/latency_speedup'] == 10
    assert metrics['alexnet/dense/balanced_accuracy_mean'] == 0.9
    assert 'alexnet/dense/balanced_accuracy_std' not in metrics
    assert content['seeds'] == [0, 1]
    assert content['duration_s'] == 120  # two sweeps, whatever is taken of them


def test_feature_table(tmp_path: Path, repository: Path) -> None:
    path = repository / 'cracks_cpu.json'
    folders = [work_dir(tmp_path / str(seed), seed, 0.8) for seed in (0, 1)]
    add_sweeps(path, {'mobilenet-v2/random': folders[:1]}, dataset='cracks')
    for folder in folders:  # a seed is added later
        add_sweeps(path, {'alexnet/default': [folder]}, dataset='cracks')
    metrics = json.loads(path.read_text(encoding='utf-8'))['metrics']
    assert is_pruning(metrics)
    lines = pruning_lines(metrics)
    assert lines[0] == (
        '| parent | variant | test, % | crackforest, % | parameters | of the parent | '
        'ms an image | times as fast | seeds |'
    )
    assert lines[2] == (
        '| alexnet | `default` | 80.0 ± 0.0 | 60.0 ± 0.0 | 100 | 10.0 % | 1.0 | 10.0 '
        '| 2 |'
    )
    assert lines[3].startswith('| mobilenet-v2 | `random` | 80.0 | 60.0 |')


def test_exception_unfinished_twice_and_unknown(
    tmp_path: Path, repository: Path
) -> None:
    path = repository / 'cracks_cpu.json'
    with pytest.raises(FileNotFoundError, match='has finished'):
        read_summary(tmp_path)
    folder = work_dir(tmp_path / 'a', 0, 0.8)
    with pytest.raises(ValueError, match='expected another seed than 0'):
        add_sweeps(path, {'a/b': [folder, folder]}, dataset='cracks')
    with pytest.raises(ValueError, match=r'take=tiny: expected one of dense'):
        add_sweeps(path, {'a/b': [folder]}, dataset='cracks', take='tiny')


def test_feature_the_parent_as_it_was_trained(tmp_path: Path, repository: Path) -> None:
    path = repository / 'cracks_cpu.json'
    folders = [work_dir(tmp_path / str(seed), seed, 0.8) for seed in (0, 1)]
    add_sweeps(path, {'a/parent': folders}, dataset='x', take='parent', notes='n')
    content = json.loads(path.read_text(encoding='utf-8'))
    assert content['metrics']['a/parent/balanced_accuracy_mean'] == 0.95
    add_sweeps(path, {'a/small': folders[:1]}, dataset='x')
    assert content['notes'] == json.loads(path.read_text())['notes'] == 'n'


def test_feature_timed_anew(tmp_path: Path, repository: Path) -> None:
    asked = []

    def timer(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        asked.append((folder.name, name))
        costs = [outcome(name, size, 0, 0)['cost'] for size in (100, 1000)]
        costs[0]['latency_ms_p50'] = 4
        return costs[0], costs[1]

    path = repository / 'x.json'
    folder = work_dir(tmp_path / 'a', 0, 0.8)
    add_sweeps(path, {'a/b': [folder]}, dataset='x', timer=timer)
    metrics = json.loads(path.read_text(encoding='utf-8'))['metrics']
    assert asked == [('a', 'parameters-0.10')]
    assert metrics['a/b/latency_ms_p50'] == 4
    assert metrics['a/b/latency_speedup'] == 2.5
    assert metrics['a/b/balanced_accuracy_mean'] == 0.8


def test_exception_seeds_timed_or_tested_differently(
    tmp_path: Path, repository: Path
) -> None:
    path = repository / 'x.json'
    folders = [
        work_dir(tmp_path / str(s), s, 0.8, recipe) for s, recipe in enumerate('ab')
    ]
    with pytest.raises(ValueError, match='expected the settings and datasets of'):
        add_sweeps(path, {'a/b': folders}, dataset='x')
    add_sweeps(path, {'a/b': folders[:1]}, dataset='x')
    with pytest.raises(ValueError, match='expected seeds of the same settings'):
        add_sweeps(path, {'a/b': folders[1:]}, dataset='x')
    other = work_dir(tmp_path / '1', 1, 0.8)
    summary = json.loads((other / 'summary.json').read_text(encoding='utf-8'))
    summary['outcomes'][1]['cost']['threads'] = 2
    write_json(other / 'summary.json', summary)
    with pytest.raises(ValueError, match='not with 1 and 2; remove'):
        add_sweeps(path, {'a/b': [other]}, dataset='x')
    del summary['outcomes'][1]['test']['crackforest']
    write_json(other / 'summary.json', summary)
    with pytest.raises(ValueError, match='a/b: expected crackforest'):
        add_sweeps(path, {'a/b': [other]}, dataset='x')


def test_smoke_plot(tmp_path: Path, repository: Path) -> None:
    path = repository / 'x.json'
    folders = [work_dir(tmp_path / str(seed), seed, 0.8 + seed / 9) for seed in (0, 1)]
    add_sweeps(path, {'a/small': folders}, dataset='x')
    add_sweeps(path, {'a/dense': folders[:1]}, dataset='x', take='dense')
    figure = trade_off_of(json.loads(path.read_text(encoding='utf-8'))['metrics'])
    first = figure.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == [
        'a/small',
        'a/dense',
    ]
    drawn = [axes.lines[0].get_xdata().tolist() for axes in figure.axes]
    assert drawn == [[pytest.approx(0.8 + 1 / 18), 0.9], [100, 1000], [1, 10]]
