"""Results files: numbers of a run with all that is needed to run it again."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypedDict

from mmdefect.utils.checks import some_of
from mmdefect.utils.environment import describe_environment
from mmdefect.utils.files import draft_of, write_json


class _Optional(TypedDict, total=False):
    recipe: str


class Run(_Optional):
    """One finished stream in a results file.

    Attributes:
        metrics: ``teacher/old``, and ``old``, ``new``, ``all`` after the last step, or
            the measures of an anomaly stream; as fractions.
        commit: The one commit that it came from.
        date: Day on which it was put into the file, in UTC.
        duration_s: Training time of the steps that it did not take over.
        hardware: Where it ran.
        software: Versions that it ran with.
        command: What produced it, as a reader would type it.
        recipe: Digest of what it has in common with other seeds; not all have one.
    """

    metrics: dict[str, float]
    commit: str
    date: str
    duration_s: float
    hardware: str
    software: str
    command: str


Runs = dict[str, dict[str, Run]]


def write_results(
    path: str | Path,
    *,
    name: str,
    command: str,
    dataset: str,
    seeds: Sequence[int],
    metrics: Mapping[str, float],
    duration_s: float,
    notes: str = '',
    environment: Mapping[str, str] | None = None,
    runs: Runs | None = None,
) -> dict[str, Any]:
    """Write a results file with all that is needed to run it again.

    ``metrics`` are flat numbers. Of several ``runs``, preset -> seed as text -> run,
    they are means, and ``environment`` may name more than one commit, ``'a; b'``.

    Raises:
        RuntimeError: If the repository has uncommitted changes or there is none, or
            a run itself came from no clean commit.
        ValueError: If a metric is not a finite number, or there is none.
    """
    path = Path(path)
    _check_metrics(metrics)
    # A killed write leaves it behind, and it would count as a change of the tree.
    draft_of(path).unlink(missing_ok=True)
    here = clean_commit(path.parent, ignore=path)
    ran = dict(environment or {**describe_environment(), 'commit': here})
    _check_commits(ran['commit'], runs or {})
    content = {
        'name': name,
        'command': command,
        'commit': ran['commit'],
        'date': today(),
        'duration_s': round(duration_s, 1),
        'hardware': ran['hardware'],
        'software': ran['software'],
        'dataset': dataset,
        'seeds': list(seeds),
        'metrics': dict(metrics),
        'notes': notes,
        **({'runs': runs} if runs else {}),
    }
    write_json(path, content)
    return content


def write_runs(
    path: str | Path,
    *,
    dataset: str,
    runs: Runs,
    summed_up: Callable[[list[Run]], Mapping[str, float]],
    notes: str = '',
) -> dict[str, Any]:
    """Write a results file of single runs: what they have in common is theirs.

    ``summed_up`` makes metrics of the runs of one name, which come below that name.

    Raises:
        RuntimeError, ValueError: As of :func:`write_results`.
    """
    flat = [run for entries in runs.values() for run in entries.values()]
    # Several networks of a sweep are one run.
    durations = {run['command']: run['duration_s'] for run in flat}
    return write_results(
        path,
        name=Path(path).stem,
        command='; '.join(dict.fromkeys(run['command'] for run in flat)),
        dataset=dataset,
        seeds=sorted({int(seed) for entries in runs.values() for seed in entries}),
        metrics={
            f'{name}/{key}': value
            for name, entries in runs.items()
            for key, value in summed_up(list(entries.values())).items()
        },
        duration_s=sum(durations.values()),
        notes=notes,
        environment=environment_of(flat),
        runs=runs,
    )


def today() -> str:
    """Return the day in UTC as ``YYYY-MM-DD``."""
    return datetime.now(timezone.utc).strftime('%Y-%m-%d')


def read_growing(path: str | Path, *, name: str, dataset: str) -> dict[str, Any]:
    """Read a results file that runs are to be added to, nothing if there is none.

    Raises:
        ValueError: If it is no results file with ``runs``, or one of another
            experiment or dataset.
    """
    path = Path(path)
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(
            f'{path}: expected a results file in JSON ({error}); restore it from git'
        ) from error
    if 'runs' not in content:
        raise ValueError(
            f"{path}: expected a results file with every single run in 'runs'; write "
            'it anew without --add, from all work dirs'
        )
    for key, value in (('name', name), ('dataset', dataset)):
        if content.get(key) != value:
            raise ValueError(
                f'{key}={value!r}: expected {content.get(key)!r} as in {path}; give '
                'that, or another file'
            )
    return dict(content)


def _check_commits(commit: str, runs: Runs) -> None:
    found = {'the run': commit} if not runs else {}
    for preset, entries in runs.items():
        for seed, run in entries.items():
            found[f'the run of {preset}, seed {seed},'] = run['commit']
    for what, value in found.items():
        # A run that was resumed at a later commit names both.
        if not all(re.fullmatch('[0-9a-f]{7,40}', one) for one in value.split('; ')):
            raise RuntimeError(
                f'{what} came from commit {value!r}: expected a clean commit, so that '
                'it can be run again; commit first, then run'
            )


def _check_metrics(metrics: Mapping[str, float]) -> None:
    bad = [
        key
        for key, value in metrics.items()
        if not isinstance(value, (int, float)) or not math.isfinite(value)
    ]
    if bad or not metrics:
        raise ValueError(
            f'metrics {", ".join(bad) or "without any entry"}: expected finite '
            'numbers; leave out what was not measured'
        )


def clean_commit(folder: str | Path, *, ignore: str | Path | None = None) -> str:
    """Return the commit that a folder's repository stands at.

    Outside a repository the environment variable ``GIT_COMMIT`` stands in.

    Raises:
        RuntimeError: If there is no repository or commit, or anything is changed or
            untracked.
    """
    place = Path(folder).resolve()
    while not place.is_dir():
        place = place.parent
    try:
        root = Path(_git(place, 'rev-parse', '--show-toplevel'))
    except RuntimeError:
        if given := os.environ.get('GIT_COMMIT'):  # a copy of a clone
            return given
        raise
    spared = Path(ignore).resolve() if ignore is not None else None
    status = _git(root, 'status', '--porcelain', '--untracked-files=all', '-z')
    changed = [
        entry[3:]
        for entry in status.split('\0')
        if entry and (root / entry[3:]).resolve() != spared
    ]
    if changed:
        raise RuntimeError(
            f'{root}: expected a clean tree, so that the commit tells what ran, there '
            f'are uncommitted changes ({some_of(changed, 3)}); commit first'
        )
    return _git(root, 'rev-parse', 'HEAD')


def _git(folder: Path, *args: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  git, no shell
            ['git', *args],  # noqa: S607  the git of the PATH
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, 'stderr', None) or str(error)
        raise RuntimeError(
            f'{folder}: expected a git repository with a commit, which results name '
            f'({reason.strip()}); run from a clone'
        ) from error
    # Not strip(): the first status entry may start with a space.
    return done.stdout.rstrip('\n')


def distinct(texts: Iterable[str]) -> str:
    """Return different texts as ``'a; b'``; texts may be such lists themselves."""
    parts = [part for text in sorted(set(texts)) for part in text.split('; ')]
    return '; '.join(dict.fromkeys(parts))


def environment_of(runs: Iterable[Run]) -> dict[str, str]:
    """Join ``commit``, ``hardware``, ``software``, ``'a; b'`` where runs differ."""
    found: list[Mapping[str, Any]] = list(runs)
    return {
        key: distinct(run[key] for run in found)
        for key in ('commit', 'hardware', 'software')
    }


def mean_std(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Compute mean and sample standard deviation (ddof = 1) over repetitions.

    Without ``name_std`` of a single repetition: nothing is known about its spread.

    Raises:
        ValueError: If there is no row, or the names differ.
    """
    if not rows:
        raise ValueError('rows=[]: expected at least one repetition')
    names = list(rows[0])
    for row in rows[1:]:
        if different := set(names) ^ set(row):
            raise ValueError(
                f'{", ".join(sorted(different))}: expected in every repetition, it is '
                'in some only; collect finished runs of one protocol'
            )
    found: dict[str, float] = {}
    for name in names:
        values = [float(row[name]) for row in rows]
        found[name] = statistics.fmean(values)
        if len(values) > 1:
            found[f'{name}_std'] = statistics.stdev(values)
    return found
