"""The report of one stream: what was learned, what was forgotten, from what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdefect.streams.distance import joint_matrix
from mmdefect.streams.matrix import GROUPS, StepScores
from mmdefect.streams.report.diagnosis import diagnosis_sections, distance_sections
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
from mmdefect.streams.report.summary import (
    good_section,
    summary_sections,
    why_undefined,
)
from mmdefect.visualization.page import (
    Page,
    Picture,
    Section,
    Table,
    footer_text,
    in_words,
    percent,
    write_page,
)
from mmdefect.visualization.plots import curves, save_figure


def write_report(work_dir: str | Path, joint: str | Path | None = None) -> Path:
    """Write ``report/index.html``, ``report/report.md`` and their PNGs.

    Works at any time: steps, scores, curves or samples that are not there yet are named
    on the page.

    Args:
        work_dir: Work dir of a stream.
        joint: Work dir of the upper bound that scores are compared with.

    Returns:
        Path of the HTML file; it holds everything inside.

    Raises:
        FileNotFoundError: If ``work_dir`` holds no ``stream.json``.
    """
    record = read_stream(work_dir)
    folder = record.work_dir / 'report'
    headline, lead = _headline(record)
    sections = [_table(record)]
    if record.metric in record.valued:
        sections.append(_scores(record, folder))
    bound = joint_matrix(joint)
    if record.matrix and record.scored and bound:
        sections += distance_sections(record.matrix, bound)
    if record.matrix and (alarms := alarm_section({record.name: record.matrix})):
        sections.append(alarms)
    if record.matrix and (good := good_section({record.name: record.matrix})):
        sections.append(good)
    parts: dict[str, Any] = {
        'classes': record.state['classes'],
        'folder': folder,
        'missing': record.missing,
    }
    if record.samples:
        columns = _by_title(record.samples)
        sections.append(samples_section(columns, root=record.work_dir, **parts))
    if record.matrix and record.scored:
        last = record.matrix.steps[-1]
        sections += diagnosis_sections(last, root=record.work_dir, **parts)
    if record.maps:
        sections.append(maps_section(_by_title(record.maps), **parts))
    if record.losses:
        sections.append(_losses(record, folder))
    if record.matrix is not None and record.valued:
        sections += summary_sections(record.matrix, record.say)
    page = Page(
        name=record.name,
        headline=headline,
        lead=lead,
        missing=record.missing,
        sections=sections,
        footer=_provenance(record.state['steps']),
        footer_text=footer_text(str(record.work_dir)),
    )
    return write_page(page, folder)


def _headline(record: StreamRecord) -> tuple[str, str]:
    """Say in plain words what the last scored step forgot and learned."""
    if record.matrix is None or not record.scored:
        return 'No step has been tested yet.', 'Scores appear after the first test.'
    last = record.matrix.steps[-1]
    after, metric = f'After step {last.step} the model', in_words(record.metric)
    if record.group(last.step, 'all') is None:
        return (
            f'After step {last.step} the {metric} is undefined, since '
            f'{why_undefined(last)}.',
            f'The model knows {listed(last.old + last.new)}.',
        )
    if not last.old:
        learned = said(record.group(last.step, 'new'))
        verb = 'inspects' if record.of_products else 'finds'
        return (
            f'{after} {verb} {listed(last.new)} with {metric} {learned}.',
            'No later step has been tested, so nothing can have been forgotten yet.',
        )
    lead, old, kept = _reached(record, last), listed(last.old), record.kept(last.step)
    if kept is None:
        value = said(record.group(last.step, 'old'))
        return (
            f'{after} has {metric} {value} on {old}.',
            f'{lead} How much it kept cannot be told.',
        )
    return f'{after} {kept_said(kept, f" of what it knew about {old}")}.', lead


def _reached(record: StreamRecord, last: StepScores) -> str:
    """What the last scored step reaches on its new classes, and on all."""
    new, total = (said(record.group(last.step, name)) for name in ('new', 'all'))
    scores = last.per_class[record.metric].values()
    undefined, count = sum(map(math.isnan, scores)), len(scores)
    every = f'{count - undefined} of {count} that have a score' if undefined else count
    metric = in_words(record.metric)
    on = record.say(f'the new class{"es" if len(last.new) > 1 else ""}')
    on += f' {listed(last.new)}'
    if 'undefined' in (new, total):
        return f'Its {metric} is {new} on {on}, and {total} on all {every}.'
    return f'It reaches {metric} {new} on {on}, and {total} on all {every}.'


def _table(record: StreamRecord) -> Section:
    """One row per step, finished or not."""
    main = in_words(record.metric) or 'score'
    others = [metric for metric in record.valued if metric != record.metric]
    # Without a score only before the first test, or if it is undefined everywhere.
    told = not record.scored or record.metric in record.valued
    header = ['Step', 'Brings', 'State']
    numbers = [f'{main} {name}' for name in GROUPS if told] + ['Old kept'] * told
    numbers += [f'{in_words(metric)} all' for metric in others]
    rows = []
    for entry in record.state['steps']:
        step = entry['step']
        cells = [percent(record.group(step, name)) for name in GROUPS if told]
        cells += [percent(record.kept(step), 0)] * told
        cells += [percent(record.group(step, 'all', metric)) for metric in others]
        state = 'reused' if entry['reused_from'] else entry['state']
        rows.append([str(step), listed(entry['classes']), state, *cells])
    table = Table([*header, *numbers], rows, numbers)
    if not numbers:
        return Section(title='The steps', table=table)
    return Section(
        title='What each step learned and kept',
        text=record.say(
            'Every step is scored on the whole test set. Old are the classes of '
            'earlier steps, new those the step brought. Old kept is the score of the '
            'old classes, compared with their score right after they were learned; '
            'above 100 % it has grown since.'
        ),
        table=table,
    )


def _scores(record: StreamRecord, folder: Path) -> Section:
    """Heat map and bars of the main metric."""
    groups = {
        f'after step {step}': {name: record.group(step, name) for name in GROUPS}
        for step in record.scored
    }
    return Section(
        title=record.say('Class by class'),
        text=record.say(CLASS_BY_CLASS),
        pictures=[
            class_map(record, folder / 'heat_map.png'),
            score_bars(groups, record.metric, folder / 'groups.png'),
        ],
    )


def _losses(record: StreamRecord, folder: Path) -> Section:
    """One plot of loss curves per step."""
    pictures = []
    for step, series in record.losses.items():
        figure = curves(series, title=f'step {step}', ylabel='loss')
        path = save_figure(figure, folder / f'loss_step_{step}.png')
        alt = f'Loss curves of step {step}: {", ".join(series)}'
        pictures.append(Picture(path, alt, width=470))
    return Section(
        title='Loss while training',
        text='The total and each term. Steps start their iterations at zero.',
        pictures=pictures,
    )


def _by_title(pictures: Mapping[int, Maps]) -> dict[str, Maps]:
    return {f'after step {step}': entries for step, entries in pictures.items()}


def _provenance(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Where each step's model comes from; hashes are cut to twelve digits."""
    rows = [
        [
            str(entry['step']),
            entry['config'] or '–',
            (entry['config_hash'] or '–')[:12],
            entry['reused_from'] or entry['started_from'] or 'scratch',
            entry['checkpoint'] or '–',
            (entry['checkpoint_sha256'] or '–')[:12],
            duration(entry['duration_s']),
        ]
        for entry in steps
    ]
    header = ['Step', 'Config', 'Config hash', 'Started from', 'Checkpoint']
    return Table([*header, 'Checkpoint SHA-256', 'Training'], rows)
