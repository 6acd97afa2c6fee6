"""Compared classifiers in a results file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from lab.results import Run, Runs, read_growing, today, write_runs
from mmdefect.comparison.report import ComparedRun


def metrics_of(row: ComparedRun) -> dict[str, float]:
    """Collect the numbers of one classifier, without its name."""
    found, record = row.measures, row.record
    low, high = found.accuracy_range
    # Not a number where the test images are all of one class.
    area = {} if math.isnan(found.auroc) else {'auroc': found.auroc}
    return {
        'errors': found.wrong,
        'miss': found.errors.misses,
        'false_alarm': found.errors.false_alarms,
        'images': found.images,
        'accuracy_low': low,
        'accuracy_high': high,
        **area,
        'trainable': record.trainable,
        'parameters': record.parameters,
        'epochs': record.epochs,
        'seconds_per_epoch': round(record.seconds_per_epoch, 1),
        'latency_ms_p50': round(record.latency_ms_p50, 2),
        'latency_ms_p95': round(record.latency_ms_p95, 2),
    }


def add_rows(path: str | Path, rows: Sequence[ComparedRun], *, dataset: str) -> None:
    """Add classifiers to a results file, or begin it.

    The file's ``metrics`` are ``<model>/<recipe>/<split>/errors`` and so on. It holds
    one run of a classifier, a split and a seed; an earlier one is replaced. Of several
    seeds, all but the first have names of their own,
    ``<model>/<recipe>+seed-1/<split>``.

    Raises:
        RuntimeError: The tree or a run is of no clean commit.
        ValueError: The file is of another experiment or dataset, or two classifiers
            have one name.
    """
    path = Path(path)
    commands: dict[tuple[str, int], str] = {}
    for record in (row.record for row in rows):
        known_as = (record.key, record.seed)
        first = commands.setdefault(known_as, record.command)
        if first != record.command:
            raise ValueError(
                f'{record.key}: expected one classifier of this name, not those of '
                f"'{first}' and '{record.command}'; give the other a config of its own "
                '(<model>_<recipe>_casting.py), which names it'
            )
    known = read_growing(path, name=path.stem, dataset=dataset)
    runs: Runs = dict(known.get('runs', {}))
    for row in rows:
        seed = str(row.record.seed)
        runs[_name_of(row.record.key, seed, runs)] = {seed: _run(row)}
    write_runs(
        path,
        dataset=dataset,
        runs=runs,
        summed_up=lambda found: found[-1]['metrics'],
        notes=known.get('notes', ''),
    )


def _name_of(key: str, seed: str, runs: Runs) -> str:
    """Name of a run, which no run of another seed has."""
    if seed in (runs.get(key) or (seed,)):
        return key
    name, _, split = key.rpartition('/')
    return f'{name}+seed-{seed}/{split}'


def _run(row: ComparedRun) -> Run:
    record = row.record
    return Run(
        metrics=metrics_of(row),
        commit=record.commit,
        date=today(),
        duration_s=round(record.epochs * record.seconds_per_epoch, 1),
        hardware=record.hardware,
        software=record.software,
        command=record.command,
    )
