"""Repeated streams of several presets as the flat metrics of a results file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdefect.streams.report_data import StreamRecord, read_stream
from mmdefect.utils.results import mean_std


@dataclass(frozen=True)
class Collected:
    """What :func:`collect` found.

    Attributes:
        metrics: ``teacher/old``, ``<preset>/old|new|all`` and their ``..._std``.
        seeds: Seed of each repetition.
        duration_s: Training time of everything, shared teachers counted once.
        environment: ``commit``, ``hardware`` and ``software`` of the runs.
    """

    metrics: dict[str, float]
    seeds: list[int]
    duration_s: float
    environment: dict[str, str]


def collect(presets: Mapping[str, Sequence[str | Path]]) -> Collected:
    """Read work dirs of finished streams, one per preset and seed.

    The teacher is step 0 of the first preset; every group is taken after the last step.

    Args:
        presets: Name -> work dirs, the same seeds in the same order for each.

    Raises:
        FileNotFoundError: If a folder is no work dir of a stream.
        ValueError: If a stream is unfinished, the seeds of the presets differ, or the
            runs came from several commits.
    """
    records = {
        name: [_finished(folder) for folder in folders]
        for name, folders in presets.items()
    }
    seeds = {name: [_seed(r) for r in entries] for name, entries in records.items()}
    first = next(iter(records))
    odd = [f'{name} {found}' for name, found in seeds.items() if found != seeds[first]]
    if odd:
        raise ValueError(
            f'seeds {"; ".join(odd)} were found, {seeds[first]} as in {first} were '
            'expected; give the same seeds in the same order for every preset.'
        )
    metrics: dict[str, float] = {}
    teachers = [_groups(record, 0, ('all',)) for record in records[first]]
    metrics |= mean_std([{'teacher/old': entry['all']} for entry in teachers])
    for name, entries in records.items():
        rows = [_groups(r, r.scored[-1], ('old', 'new', 'all')) for r in entries]
        metrics |= mean_std(
            [{f'{name}/{g}': v for g, v in row.items()} for row in rows]
        )
    steps = [
        step
        for entries in records.values()
        for record in entries
        for step in record.state['steps']
    ]
    duration_s = sum(step['duration_s'] for step in steps)
    return Collected(metrics, seeds[first], duration_s, _environment(steps))


def _environment(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the steps say of where they ran; reused steps say nothing."""
    found = [step['environment'] for step in steps if step.get('environment')]
    commits = sorted({entry['commit'] for entry in found})
    if len(commits) != 1:
        raise ValueError(
            f'the runs came from the commits {", ".join(commits) or "(unknown)"}, '
            'one commit was expected; run all presets from the same checkout.'
        )
    joined = {
        key: '; '.join(sorted({entry[key] for entry in found}))
        for key in ('hardware', 'software')
    }
    return {'commit': commits[0], **joined}


def _finished(folder: str | Path) -> StreamRecord:
    record = read_stream(folder)
    states = [entry['state'] for entry in record.state['steps']]
    if set(states) != {'finished'} or record.scored != list(range(len(states))):
        raise ValueError(
            f"'{folder}' has steps {', '.join(states)} with scores of "
            f'{record.scored}, a finished and scored stream was expected; finish it '
            'with --resume.'
        )
    return record


def _seed(record: StreamRecord) -> int:
    """Seed of the last step, from the config that was dumped for it."""
    path = record.work_dir / record.state['steps'][-1]['config']
    seed = Config.fromfile(path).get('randomness', {}).get('seed')
    if seed is None:
        raise ValueError(
            f"'{path}' has no randomness.seed, one was expected because results name "
            'their seeds; train with a seed.'
        )
    return int(seed)


def _groups(record: StreamRecord, step: int, names: Sequence[str]) -> dict[str, float]:
    found = {name: record.group(step, name) for name in names}
    groups = {name: value for name, value in found.items() if value is not None}
    if len(groups) != len(names):
        raise ValueError(
            f"'{record.work_dir}' has no score of "
            f'{", ".join(sorted(found.keys() - groups.keys()))} after step {step}, a '
            'stream of two steps or more with ground truth was expected.'
        )
    return groups
