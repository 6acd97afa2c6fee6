"""Several streams on one page: who forgot what, against one teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdefect.streams.matrix import GROUPS
from mmdefect.streams.report.maps import Maps, alarm_section, maps_section
from mmdefect.streams.report.plots import CLASS_BY_CLASS, class_map, score_bars
from mmdefect.streams.report.record import (
    StreamRecord,
    duration,
    kept_said,
    listed,
    read_stream,
    said,
)
from mmdefect.streams.report.samples import samples_section
from mmdefect.streams.report.summary import good_section, why_undefined
from mmdefect.visualization.page import (
    Page,
    Section,
    Table,
    footer_text,
    in_words,
    percent,
    write_page,
)

JOINT = 'joint'
LEGEND = (
    'The teacher is the model after step 0, before anything new was learned. All are '
    'scored on the whole test set: on what they had learned before the last step '
    '(old), on what that step brought (new), and on all of it. Old kept is the score '
    'of the old, compared with that right after it was learned; above 100 % it has '
    'grown since.'
)


def write_comparison(work_dirs: Mapping[str, str | Path], out_dir: str | Path) -> Path:
    """Write ``index.html``, ``comparison.md`` and their PNGs.

    Args:
        work_dirs: Name of each model -> work dir of its stream. One named ``joint`` is
            the upper bound that the others' gaps are measured to.
        out_dir: Where to.

    Returns:
        Path of the HTML file; it holds everything inside.

    Raises:
        FileNotFoundError: If a work dir holds no ``stream.json``.
        ValueError: If no work dir was given, or one has no scores yet.
    """
    records = read_streams(work_dirs)
    folder = Path(out_dir)
    missing = [
        f'{name}: {note}' for name, record in records.items() for note in record.missing
    ]
    if note := _teachers_differ(records):
        missing.append(note)
    sections = _scores(records, folder)
    matrices = {name: r.matrix for name, r in records.items() if r.matrix is not None}
    if alarms := alarm_section(matrices):
        sections.append(alarms)
    if good := good_section(matrices):
        sections.append(good)
    first = next(iter(records.values()))
    parts: dict[str, Any] = {
        'classes': first.state['classes'],
        'folder': folder,
        'missing': missing,
    }
    if columns := _columns(records, {n: r.samples for n, r in records.items()}):
        sections.append(samples_section(columns, root=first.work_dir, **parts))
    if columns := _columns(records, {n: r.maps for n, r in records.items()}):
        sections.append(maps_section(columns, **parts))
    headline, lead = _headline(records)
    page = Page(
        name=f'Comparison of {listed(list(records))}',
        headline=headline,
        lead=lead,
        missing=missing,
        sections=sections,
        footer=_provenance(records),
        footer_text=footer_text(listed([str(r.work_dir) for r in records.values()])),
    )
    return write_page(page, folder, markdown='comparison.md')


def read_streams(work_dirs: Mapping[str, str | Path]) -> dict[str, StreamRecord]:
    """Read scored streams.

    Raises:
        FileNotFoundError: If a work dir holds no ``stream.json``.
        ValueError: If no work dir was given, one has no scores yet, or they are scored
            by different metrics.
    """
    if not work_dirs:
        raise ValueError('work_dirs={}: expected one at least')
    records = {
        name: read_stream(folder, curves=False) for name, folder in work_dirs.items()
    }
    empty = [name for name, record in records.items() if not record.scored]
    if empty:
        raise ValueError(
            f'{", ".join(empty)} has no scores yet: expected scored streams; finish or '
            'test it first'
        )
    if len({record.metric for record in records.values()}) > 1:
        scored = ', '.join(f'{n} by {r.metric}' for n, r in records.items())
        raise ValueError(
            f'{scored}: expected streams of one metric; compare detectors and anomaly '
            'models apart'
        )
    return records


def comparison_table(records: Mapping[str, StreamRecord]) -> Table:
    """Teacher and every model: old, new, all, what was kept, the gap to joint.

    Args:
        records: Name of each model -> its stream, scored.
    """
    metric = in_words(next(iter(records.values())).metric)
    numbers = [f'{metric} {name}' for name in GROUPS] + ['Old kept']
    joint = records.get(JOINT)
    bound = joint.group(joint.scored[-1], 'all') if joint else None
    if joint is not None:
        numbers.append('Points below joint')
    header = ['Model', *numbers]
    rows = [['teacher', percent(_teacher(records)), *['–'] * (len(numbers) - 1)]]
    for name, record in records.items():
        step = record.scored[-1]
        row = [name, *(percent(record.group(step, group)) for group in GROUPS)]
        row.append(percent(record.kept(step), 0))
        if joint is not None:
            ours = record.group(step, 'all')
            if name == JOINT or ours is None or bound is None:
                row.append('–')
            else:
                row.append(f'{100 * (bound - ours):.1f}')
        rows.append(row)
    return Table(header, rows, numbers)


def _teacher(records: Mapping[str, StreamRecord]) -> float | None:
    """Score of the first model's step 0 on the classes that were new then."""
    for record in records.values():
        if (value := record.group(0, 'all')) is not None:
            return value
    return None


def _teachers_differ(records: Mapping[str, StreamRecord]) -> str | None:
    """Models are comparable when they started from the same file."""
    hashes = {
        name: record.state['steps'][0]['checkpoint_sha256']
        for name, record in records.items()
    }
    if len(set(hashes.values())) < 2:
        return None
    shown = ', '.join(f'{n} {(h or "unknown")[:12]}' for n, h in hashes.items())
    return (
        f'A common teacher: the models of step 0 differ ({shown}); the teacher shown '
        'is the first, and each model is compared with its own.'
    )


def _valued(records: Mapping[str, StreamRecord]) -> bool:
    return any(record.metric in record.valued for record in records.values())


def _scores(records: Mapping[str, StreamRecord], folder: Path) -> list[Section]:
    """Table and plots of the main metric, if it has a value at all."""
    if not _valued(records):
        return []
    first = next(iter(records.values()))
    groups = {'teacher': {'old': _teacher(records), 'new': None, 'all': None}}
    for name, record in records.items():
        step = record.scored[-1]
        groups[name] = {group: record.group(step, group) for group in GROUPS}
    maps = [
        class_map(record, folder / f'heat_map_{number}.png', scale=0.6, name=name)
        for number, (name, record) in enumerate(records.items())
        if record.metric in record.valued
    ]
    bars = score_bars(groups, first.metric, folder / 'groups.png')
    return [
        Section('Every model after its last step', LEGEND, comparison_table(records)),
        Section('Old, new, all', pictures=[bars]),
        Section(first.say('Class by class'), first.say(CLASS_BY_CLASS), pictures=maps),
    ]


def _headline(records: Mapping[str, StreamRecord]) -> tuple[str, str]:
    first = next(iter(records.values()))
    if first.matrix is not None and not _valued(records):
        why = why_undefined(first.matrix.steps[-1])
        return f'The {in_words(first.metric)} is undefined, since {why}.', ''
    shares = [
        f'{name} {kept_said(share)}'
        for name, record in records.items()
        # The upper bound saw the old images: it has nothing to keep.
        if name != JOINT and (share := record.kept(record.scored[-1])) is not None
    ]
    known = listed(first.state['steps'][0]['classes'])
    lead = (
        f'Before the new {first.say("classes")} came, {in_words(first.metric)} on '
        f'{known} was {said(_teacher(records))}.'
    )
    if not shares:
        return 'No model has learned a second step yet.', lead
    return f'Of what was known about {known}, {"; ".join(shares)}.', lead


def _columns(
    records: Mapping[str, StreamRecord], pictures: Mapping[str, Mapping[int, Maps]]
) -> dict[str, Maps]:
    """What step 0 of the first model left, then every model's last step."""
    columns: dict[str, Maps] = {}
    for name, record in records.items():
        if 'teacher' not in columns and 0 in pictures[name]:
            columns['teacher'] = pictures[name][0]
        last = record.scored[-1]
        if last and last in pictures[name]:
            columns[name] = pictures[name][last]
    return columns


def _provenance(records: Mapping[str, StreamRecord]) -> Table:
    rows = [
        [
            name,
            record.name,
            str(entry['step']),
            (entry['config_hash'] or '–')[:12],
            (entry['checkpoint_sha256'] or '–')[:12],
            duration(entry['duration_s']),
        ]
        for name, record in records.items()
        for entry in record.state['steps']
    ]
    header = ['Model', 'Stream', 'Step', 'Config hash', 'Checkpoint SHA-256']
    return Table([*header, 'Training'], rows)
