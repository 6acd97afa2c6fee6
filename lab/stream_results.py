"""Repeated streams of several presets as the runs and metrics of a results file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.results import (
    Run,
    Runs,
    distinct,
    environment_of,
    mean_std,
    today,
    write_results,
)
from mmdefect.datasets.boxes.memory_file import read_memory
from mmdefect.functional.forgetting import (
    average_stage,
    base_mean,
    forgetting_measure,
    last_mean,
    stage_drop,
)
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report.record import StreamRecord, read_stream
from mmdefect.streams.state import inside
from mmdefect.utils.dumped_config import read_dumped_config

TEACHER = 'teacher/old'
# Metrics of products that a table shows, and what it calls them.
MEASURED = {'image_auroc': 'image', 'pixel_auroc': 'pixel'}
MEASURES = {
    'ACC': average_stage,
    'FM_iuf': stage_drop,
    'forgetting': forgetting_measure,
    'base': base_mean,
    'last': last_mean,
}
# Of boxes, beside the groups: name here -> scalar of the test.
DIAGNOSED = {
    'new_own': 'new_own_AP50',
    'foreign_false_alarms': 'foreign_false_alarms',
}
# A teacher is tested again by every stream that shares it.
_SAME_TEACHER = 1e-9


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What :func:`collect` found.

    Attributes:
        runs: Preset -> seed as text -> its finished stream.
        metrics: ``teacher/old``, ``<preset>/old|new|all`` and their ``..._std``; of
            products ``<preset>/<measure>``, see :func:`product_measures`.
        seeds: All seeds that any preset has, sorted.
        duration_s: Training time of all runs, shared teachers counted once.
        environment: ``commit``, ``hardware`` and ``software`` of the runs, ``'a; b'``
            where they differ.
    """

    runs: Runs
    metrics: dict[str, float]
    seeds: list[int]
    duration_s: float
    environment: dict[str, str]

    def write(
        self, path: Path, *, name: str, command: str, dataset: str, notes: str = ''
    ) -> None:
        """Write a results file; see :func:`lab.results.write_results`."""
        write_results(
            path,
            name=name,
            command=command,
            dataset=dataset,
            seeds=self.seeds,
            metrics=self.metrics,
            duration_s=self.duration_s,
            notes=notes,
            environment=self.environment,
            runs=self.runs,
        )


def collect(
    presets: Mapping[str, Sequence[str | Path]],
    *,
    command: str,
    known: Runs | None = None,
) -> Collected:
    """Read work dirs of finished streams, one per preset and seed.

    The teacher is step 0, the same for all presets of a seed; every group is taken
    after the last step.

    Raises:
        FileNotFoundError: If a folder is no work dir of a stream.
        ValueError: If a stream is unfinished or came from several commits, a preset
            has a seed twice, or the presets of a seed have different teachers.
    """
    runs = {name: dict(entries) for name, entries in (known or {}).items()}
    for name, folders in presets.items():
        merged = runs.get(name, {}) | _by_seed(name, folders, command)
        runs[name] = dict(sorted(merged.items(), key=lambda item: int(item[0])))
    return _summed_up(runs)


def _summed_up(runs: Runs) -> Collected:
    """Average over the seeds that each preset has, and join where all of it ran."""
    seeds = sorted({int(seed) for entries in runs.values() for seed in entries})
    flat = [run for entries in runs.values() for run in entries.values()]
    metrics: dict[str, float] = {}
    if any(TEACHER in run['metrics'] for run in flat):
        metrics = mean_std([{TEACHER: _teacher(runs, str(seed))} for seed in seeds])
    for name, entries in runs.items():
        metrics |= _mean(name, entries)
    return Collected(
        runs=runs,
        metrics=metrics,
        seeds=seeds,
        duration_s=sum(run['duration_s'] for run in flat),
        environment=environment_of(flat),
    )


def _by_seed(name: str, folders: Sequence[str | Path], command: str) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for folder in folders:
        record = finished(folder)
        seed = str(seed_of(record))
        if seed in found:
            raise ValueError(
                f'{folder}: expected another seed than {seed}, which another work dir '
                f'of {name} has; leave one of them out'
            )
        found[seed] = run_of(record, _measured(record), command)
    return found


def run_of(record: StreamRecord, metrics: dict[str, float], command: str) -> Run:
    """Return a stream as a run of a results file.

    Raises:
        ValueError: Its steps came from several commits.
    """
    steps = record.state['steps']
    ran = _environment(record)
    return {
        'metrics': metrics,
        'commit': ran['commit'],
        'date': today(),
        'duration_s': round(sum(step['duration_s'] for step in steps), 1),
        'hardware': ran['hardware'],
        'software': ran['software'],
        'command': command,
    }


def _measured(record: StreamRecord) -> dict[str, float]:
    """Collect what a table shows: groups of boxes, or measures of products."""
    if record.matrix is not None and record.metric in MEASURED:
        return product_measures(record.matrix)
    last = _groups(record, record.scored[-1], ('old', 'new', 'all'))
    teacher = {TEACHER: _groups(record, 0, ('all',))['all']}
    return {**teacher, **last, **_diagnosed(record)}


def _diagnosed(record: StreamRecord) -> dict[str, float]:
    """What is wrong after the last step, what is kept for it, and what it took.

    Nothing of a stream whose metric says nothing of it.
    """
    step = record.scored[-1]
    scalars = record.matrix.steps[-1].scalars if record.matrix else {}
    by_name = {key.rpartition('/')[2]: value for key, value in scalars.items()}
    if not all(name in by_name for name in DIAGNOSED.values()):
        return {}
    found = {key: by_name[name] for key, name in DIAGNOSED.items()}
    memory = record.work_dir / f'step_{step - 1}' / 'memory'
    there = memory.is_dir()
    found['kept_mb'] = read_memory(memory).bytes / 1e6 if there else 0.0
    found['seconds'] = sum(s['duration_s'] for s in record.state['steps'][1:])
    return found


def product_measures(matrix: StreamMatrix) -> dict[str, float]:
    """Compute ``ACC``, ``FM_iuf``, ``forgetting``, ``base`` and ``last``.

    ``ACC`` and ``FM_iuf`` as IUF computes them, ``forgetting`` as Chaudhry et al. 2018,
    ``base`` and ``last`` the means after the first and the last step;
    ``image_last/<product>`` and ``pixel_last/<product>`` beside them, because products
    differ, and so does the quality of their masks. Undefined ones are left out.
    """
    found = {}
    for metric, short in MEASURED.items():
        values = matrix.tensor(metric)
        for name, measure in MEASURES.items():
            found[f'{name}_{short}'] = float(measure(values))
        last = matrix.scores(matrix.steps[-1].step, metric)
        found |= {f'{short}_last/{product}': value for product, value in last.items()}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def _teacher(runs: Runs, seed: str) -> float:
    """Return the teacher's score, which all presets of a seed must share."""
    scores = {
        name: entries[seed]['metrics'][TEACHER]
        for name, entries in runs.items()
        if seed in entries
    }
    (first, expected), *others = scores.items()
    for name, value in others:
        if abs(value - expected) > _SAME_TEACHER:
            raise ValueError(
                f'{name} of seed {seed}: expected a teacher of {expected} as of '
                f'{first}, not of {value}, to compare presets that learn from one '
                'teacher; share step 0 with stream.start_from'
            )
    return expected


def _mean(name: str, entries: Mapping[str, Run]) -> dict[str, float]:
    rows = [
        {f'{name}/{k}': value for k, value in run['metrics'].items() if k != TEACHER}
        for run in entries.values()
    ]
    return mean_std(rows)


def _environment(record: StreamRecord) -> dict[str, str]:
    """Join what the steps say of where they ran; reused steps say nothing."""
    steps = [step for step in record.state['steps'] if not step.get('reused_from')]
    found = [step.get('environment') or {} for step in steps]
    # Who resumes a stream at a later commit has all of them named.
    return {
        key: distinct(entry.get(key, 'unknown') for entry in found)
        for key in ('commit', 'hardware', 'software')
    }


def finished(folder: str | Path) -> StreamRecord:
    """Read a work dir.

    Raises:
        FileNotFoundError: It is none.
        ValueError: Its stream is not finished.
    """
    record = read_stream(folder)
    states = [entry['state'] for entry in record.state['steps']]
    if set(states) != {'finished'} or record.scored != list(range(len(states))):
        raise ValueError(
            f'{folder}: expected a finished and scored stream, its steps are '
            f'{", ".join(states)} with scores of {record.scored}; finish it with '
            '--resume'
        )
    return record


def seed_of(record: StreamRecord) -> int:
    """Return the seed of the last step, from the config that was dumped for it."""
    path = inside(record.work_dir, record.state['steps'][-1]['config'])
    seed = read_dumped_config(path).get('randomness', {}).get('seed')
    if seed is None:
        raise ValueError(
            f'{path}: expected randomness.seed, as results name their seeds; train '
            'with a seed'
        )
    return int(seed)


def _groups(record: StreamRecord, step: int, names: Sequence[str]) -> dict[str, float]:
    found = {name: record.group(step, name) for name in names}
    groups = {name: value for name, value in found.items() if value is not None}
    if len(groups) != len(names):
        raise ValueError(
            f'{record.work_dir}: expected scores of '
            f'{", ".join(sorted(found.keys() - groups.keys()))} after step {step}; '
            'give a stream of two steps or more with ground truth'
        )
    return groups
