"""Networks of several sweeps and seeds in a results file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab.plots import Measure, dot_rows
from lab.pruning_latency import Timer
from lab.results import Run, Runs, read_growing, today, write_runs
from lab.tables.pruning_table import MEAN
from mmdefect.pruning.report import SUMMARY
from mmdefect.pruning.sweep.candidates import PARENT
from mmdefect.pruning.sweep.workdir import digest_of

CHOSEN = 'chosen'


def add_sweeps(
    path: str | Path,
    variants: Mapping[str, Sequence[str | Path]],
    *,
    dataset: str,
    take: str = CHOSEN,
    notes: str | None = None,
    timer: Timer | None = None,
) -> None:
    """Add one network of each sweep to a results file, or begin it.

    ``metrics`` are ``<variant>/balanced_accuracy_mean|balanced_accuracy_std`` over
    seeds on the first test set, ``<variant>/<set>_balanced_accuracy_mean`` and so on
    of the others, and the means of ``params``, ``params_share`` (of the parent),
    ``macs``, ``latency_ms_p50`` and ``latency_speedup`` (of the parent, measured by
    the same sweep). ``take`` is ``'chosen'``, ``'parent'`` or a network's name; a
    ``timer`` times the networks anew.

    Raises:
        FileNotFoundError: A sweep is not finished.
        RuntimeError: The tree or a run is of no clean commit.
        ValueError: The file is of another experiment or dataset, a sweep has no such
            network, a seed is given twice, or seeds of a variant do not belong
            together.
    """
    path = Path(path)
    known = read_growing(path, name=path.stem, dataset=dataset)
    runs: Runs = {name: dict(seeds) for name, seeds in known.get('runs', {}).items()}
    for name, folders in variants.items():
        runs[name] = runs.get(name, {}) | _by_seed(folders, take, timer)
        _check_alike(name, runs[name])
    write_runs(
        path,
        dataset=dataset,
        runs=runs,
        summed_up=_summed_up,
        notes=known.get('notes', '') if notes is None else notes,
    )


def _by_seed(
    folders: Sequence[str | Path], take: str, timer: Timer | None
) -> dict[str, Run]:
    found: dict[str, Run] = {}
    kinds: dict[Any, str | Path] = {}
    for folder in folders:
        summary = read_summary(folder)
        kinds.setdefault(_kind(summary), folder)
        if len(kinds) > 1:
            first, other = list(kinds.values())[:2]
            raise ValueError(
                f'{other}: expected the settings and datasets of {first}; check which '
                'work dirs were given'
            )
        seed = str(summary['seed'])
        if seed in found:
            raise ValueError(
                f'{folder}: expected another seed than {seed}, which another work dir '
                'has; leave one of them out'
            )
        found[seed] = _run(summary, take, Path(folder), timer)
    return found


def _kind(summary: Mapping[str, Any]) -> Any:
    """Return what seeds of one variant have in common."""
    return summary.get('recipe'), summary['outcomes'][0]['tested_on']


def _check_alike(name: str, runs: Mapping[str, Run]) -> None:
    """Refuse a mean over seeds of numbers that only some have."""
    first, *others = [run['metrics'] for run in runs.values()]
    if len({run.get('recipe') for run in runs.values()}) > 1:
        raise ValueError(
            f'{name}: expected seeds of the same settings, datasets and network '
            '(--take); check which work dirs were given, or begin another results file'
        )
    for metrics in others:
        if odd := sorted(first.keys() ^ metrics.keys()):
            raise ValueError(
                f'{name}: expected {", ".join(odd)} of all seeds or of none; test them '
                'on the same datasets'
            )
        if first['threads'] != metrics['threads']:
            raise ValueError(
                f'{name}: expected seeds timed with as many threads, not with '
                f'{first["threads"]} and {metrics["threads"]}; remove result.json from '
                'the work dirs and test them again'
            )


def read_summary(folder: str | Path) -> dict[str, Any]:
    """Read what ``tools/prune.py`` wrote at its end.

    Raises:
        FileNotFoundError: The sweep is not finished.
    """
    path = Path(folder) / SUMMARY
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: expected a work dir that tools/prune.py has finished'
        )
    return json.loads(path.read_text(encoding='utf-8'))


def _run(
    summary: Mapping[str, Any], take: str, folder: Path, timer: Timer | None
) -> Run:
    wanted = summary['chosen'] if take == CHOSEN else take
    outcomes = {outcome['name']: outcome for outcome in summary['outcomes']}
    if parent := summary.get('parent'):
        outcomes[PARENT] = parent
    if wanted not in outcomes:
        raise ValueError(f'take={wanted}: expected one of {", ".join(outcomes)}')
    outcome, whole = outcomes[wanted], summary['outcomes'][0]
    costs = timer(folder, wanted) if timer else (outcome['cost'], whole['cost'])
    return Run(
        metrics=_metrics(outcome['test'], *costs),
        commit=summary['commit'],
        date=today(),
        duration_s=summary['duration_s'],
        hardware=summary['hardware'],
        software=summary['software'],
        command=summary['command'],
        recipe=digest_of([*_kind(summary), take]),
    )


def _metrics(
    test: Mapping[str, Any], cost: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, float]:
    found = {
        'params': cost['parameters'],
        'params_share': cost['parameters'] / before['parameters'],
        'macs': cost['macs'],
        'latency_ms_p50': cost['latency_ms_p50'],
        'latency_ms_p95': cost['latency_ms_p95'],
        'threads': cost['threads'],
        'latency_speedup': before['latency_ms_p50'] / cost['latency_ms_p50'],
    }
    for number, (name, quality) in enumerate(test.items()):
        start = '' if number == 0 else f'{name}_'
        found[f'{start}balanced_accuracy'] = quality['balanced_accuracy']
        found[f'{start}images'] = quality['images']
    return found


def _summed_up(runs: Sequence[Run]) -> dict[str, float]:
    """Sum up accuracies as mean and deviation over seeds, costs as a mean."""
    found: dict[str, float] = {'seeds': len(runs)}
    for name in runs[0]['metrics']:
        values = [run['metrics'][name] for run in runs]
        if not name.endswith('balanced_accuracy'):
            found[name] = statistics.fmean(values)
            continue
        found[f'{name}_mean'] = statistics.fmean(values)
        if len(values) > 1:  # nothing is known about the spread of one
            found[f'{name}_std'] = statistics.stdev(values)
    return found


def trade_off_of(metrics: Mapping[str, float]) -> Figure:
    """Draw accuracy, one deviation around it, size and time of every variant."""
    end = f'/{MEAN}'
    names = [key.removesuffix(end) for key in metrics if key.endswith(end)]
    spread = '/balanced_accuracy_std'
    return dot_rows(
        names,
        [
            Measure(
                name='balanced accuracy',
                values=[metrics[f'{name}{end}'] for name in names],
                spreads=[metrics.get(f'{name}{spread}', 0.0) for name in names],
                percent=True,
            ),
            Measure(
                name='parameters', values=[metrics[f'{name}/params'] for name in names]
            ),
            Measure(
                name='ms an image',
                values=[metrics[f'{name}/latency_ms_p50'] for name in names],
            ),
        ],
    )
