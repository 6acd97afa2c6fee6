"""Results files: numbers of a run with all that is needed to run it again."""

from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmdefect.utils.environment import describe_environment


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
) -> dict[str, Any]:
    """Write a results file with all that is needed to run it again.

    Args:
        path: The JSON file, in the repository whose commit produced the numbers.
        name: Name of the experiment; tables refer to it.
        command: What was run, as a reader would type it.
        dataset: Name of the data set.
        seeds: Seed of each repetition.
        metrics: Flat name -> number.
        duration_s: Time of all repetitions together.
        notes: Anything a reader must know.
        environment: ``commit``, ``hardware`` and ``software`` of the run, as its
            ``stream.json`` holds them; those of this machine by default.

    Returns:
        What was written.

    Raises:
        RuntimeError: If the repository has uncommitted changes or there is none, or
            the run itself came from no clean commit.
        ValueError: If a metric is not a finite number, or there is none.
    """
    path = Path(path)
    _check_metrics(metrics)
    here = clean_commit(path.parent, ignore=path)
    ran = dict(environment or {**describe_environment(), 'commit': here})
    if not re.fullmatch('[0-9a-f]{7,40}', ran['commit']):
        raise RuntimeError(
            f'the run came from commit {ran["commit"]!r}, a clean commit was expected '
            'so that it can be run again; commit first, then run.'
        )
    content = {
        'name': name,
        'command': command,
        'commit': ran['commit'],
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
        'duration_s': round(duration_s, 1),
        'hardware': ran['hardware'],
        'software': ran['software'],
        'dataset': dataset,
        'seeds': list(seeds),
        'metrics': dict(metrics),
        'notes': notes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + '\n')
    return content


def _check_metrics(metrics: Mapping[str, float]) -> None:
    bad = [
        key
        for key, value in metrics.items()
        if not isinstance(value, (int, float)) or not math.isfinite(value)
    ]
    if bad or not metrics:
        raise ValueError(
            f'metrics {", ".join(bad) or "without any entry"} were given, finite '
            'numbers were expected; leave out what was not measured.'
        )


def clean_commit(folder: str | Path, *, ignore: str | Path | None = None) -> str:
    """Return the commit that a folder's repository stands at.

    Args:
        folder: Any folder of the repository; it need not exist yet.
        ignore: A file whose changes do not count: the results file itself.

    Raises:
        RuntimeError: If there is no repository or commit, or anything is changed or
            untracked.
    """
    place = Path(folder).resolve()
    while not place.is_dir():
        place = place.parent
    root = Path(_git(place, 'rev-parse', '--show-toplevel'))
    spared = Path(ignore).resolve() if ignore is not None else None
    status = _git(root, 'status', '--porcelain', '--untracked-files=all', '-z')
    changed = [
        entry[3:]
        for entry in status.split('\0')
        if entry and (root / entry[3:]).resolve() != spared
    ]
    if changed:
        more = f' and {len(changed) - 3} more' if len(changed) > 3 else ''
        raise RuntimeError(
            f"'{root}' has uncommitted changes ({', '.join(changed[:3])}{more}), a "
            'clean tree was expected so that the commit tells what ran; commit first.'
        )
    return _git(root, 'rev-parse', 'HEAD')


def _git(folder: Path, *args: str) -> str:
    try:
        done = subprocess.run(
            ['git', *args], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, 'stderr', None) or str(error)
        raise RuntimeError(
            f"'{folder}' is in no git repository with a commit ({reason.strip()}), one "
            'was expected because results name their commit; run from a clone.'
        ) from error
    # Not strip(): the first status entry may start with a space.
    return done.stdout.rstrip('\n')


def mean_std(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean and sample standard deviation (ddof = 1) over repetitions.

    Args:
        rows: Metrics of each repetition, the same names in each.

    Returns:
        ``name`` and ``name_std`` for each name; without ``name_std`` when there is one
        repetition, because nothing is known about the spread then.

    Raises:
        ValueError: If there is no row, or the names differ.
    """
    if not rows:
        raise ValueError('no repetitions were given, at least one was expected.')
    names = list(rows[0])
    for row in rows[1:]:
        if different := set(names) ^ set(row):
            raise ValueError(
                f'{", ".join(sorted(different))} is in some repetitions only, the same '
                'metrics were expected in each; collect finished runs of one protocol.'
            )
    found: dict[str, float] = {}
    for name in names:
        values = [float(row[name]) for row in rows]
        found[name] = statistics.fmean(values)
        if len(values) > 1:
            found[f'{name}_std'] = statistics.stdev(values)
    return found
