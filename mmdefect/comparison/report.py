"""Table, plots and page of compared classifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdefect.comparison.record import PREDICTIONS, RunRecord, read_record
from mmdefect.evaluation.predictions import (
    Measures,
    Predictions,
    best_of,
    mcnemar,
    measure,
    read_predictions,
)
from mmdefect.visualization.page import (
    Page,
    Picture,
    Section,
    Table,
    footer_text,
    write_page,
)
from mmdefect.visualization.plots import save_figure, scatter

HEADER = (
    'classifier',
    'trained / all parameters',
    'errors',
    'accuracy, % (95 % interval)',
    'misses',
    'false alarms',
    'AUROC, %',
    'p against the best',
    's an epoch',
    'ms an image, p50 / p95',
)


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One classifier: what it took, what it said, how good that was."""

    record: RunRecord
    predictions: Predictions
    measures: Measures


def read_rows(work_dirs: Sequence[str | Path]) -> list[ComparedRun]:
    """Read trained and tested classifiers.

    Raises:
        FileNotFoundError: A work dir is not finished.
        ValueError: There is none.
    """
    if not work_dirs:
        raise ValueError('work_dirs=[]: expected one classifier or more')
    rows = []
    for folder in work_dirs:
        said = read_predictions(Path(folder) / PREDICTIONS)
        rows.append(
            ComparedRun(
                record=read_record(folder), predictions=said, measures=measure(said)
            )
        )
    return rows


def by_protocol(rows: Sequence[ComparedRun]) -> dict[str, list[ComparedRun]]:
    """Group by test set: numbers of two splits never share a table."""
    found: dict[str, list[ComparedRun]] = {}
    for row in rows:
        found.setdefault(row.record.protocol, []).append(row)
    return found


def comparison_table(rows: Sequence[ComparedRun]) -> Table:
    """Tabulate classifiers that were tested on the same images.

    Raises:
        ValueError: They were not.
    """
    best = rows[best_of([row.measures for row in rows])]
    return Table(HEADER, [_cells(row, best) for row in rows], HEADER[1:])


def _cells(row: ComparedRun, best: ComparedRun) -> list[str]:
    record, found = row.record, row.measures
    low, high = found.accuracy_range
    accuracy = 1 - found.wrong / found.images
    p_value = 1.0 if row is best else mcnemar(row.predictions, best.predictions)
    return [
        record.label,
        f'{record.trainable:,} / {record.parameters:,}',
        f'{found.wrong} of {found.images}',
        f'{100 * accuracy:.2f} ({100 * low:.1f}–{100 * high:.1f})',
        f'{found.errors.misses} of {found.errors.defects}',
        f'{found.errors.false_alarms} of {found.images - found.errors.defects}',
        f'{100 * found.auroc:.2f}',
        '–' if row is best else f'{p_value:.3f}',
        f'{record.seconds_per_epoch:.0f}',
        f'{record.latency_ms_p50:.1f} / {record.latency_ms_p95:.1f}',
    ]


def write_classifiers(rows: Sequence[ComparedRun], out_dir: str | Path) -> Path:
    """Write ``index.html``, ``comparison.md`` and the plots; return the HTML file."""
    folder = Path(out_dir)
    page = Page(
        name='Comparison of classifiers',
        headline=_headline(rows),
        sections=[
            Section(
                title=f'Split: {protocol}',
                text='p: exact McNemar test against the classifier with the fewest '
                'errors. Latency: one image, without loading it.',
                table=comparison_table(group),
                pictures=_plots(group, folder, protocol),
            )
            for protocol, group in by_protocol(rows).items()
        ],
        footer=_origin(rows),
        footer_text=footer_text('the run records and predictions of the work dirs'),
    )
    return write_page(page, folder, markdown='comparison.md')


def _plots(rows: Sequence[ComparedRun], folder: Path, protocol: str) -> list[Picture]:
    accuracies = [1 - row.measures.wrong / row.measures.images for row in rows]
    intervals = [row.measures.accuracy_range for row in rows]
    labels = [row.record.label for row in rows]
    pictures = []
    # A record may come from anywhere: its words lead to no other folder.
    start = re.sub(r'[^\w.+-]', '_', protocol)
    millions = [row.record.parameters / 1e6 for row in rows]
    latencies = [row.record.latency_ms_p50 for row in rows]
    trained = [row.record.trainable / 1e6 for row in rows]
    for name, axis, values in (
        ('parameters', 'parameters, millions', millions),
        ('trained', 'trained parameters, millions', trained),
        ('latency', 'ms an image, median', latencies),
    ):
        figure = scatter(
            values, accuracies, intervals, labels=labels, xlabel=axis, ylabel='accuracy'
        )
        path = save_figure(figure, folder / f'{start}_{name}.png')
        text = f'accuracy against {name} of {", ".join(labels)}'
        pictures.append(Picture(path, text, 420))
    return pictures


def _headline(rows: Sequence[ComparedRun]) -> str:
    parts = []
    for protocol, group in by_protocol(rows).items():
        best = group[best_of([row.measures for row in group])]
        parts.append(
            f'{best.record.label} has the fewest errors on {protocol}: '
            f'{best.measures.wrong} of {best.measures.images}'
        )
    return '; '.join(parts) + '.'


def _origin(rows: Sequence[ComparedRun]) -> Table:
    header = ('classifier', 'split', 'seed', 'commit', 'hardware', 'command')
    return Table(
        header,
        [
            (r.label, r.protocol, str(r.seed), r.commit[:12], r.hardware, r.command)
            for r in (row.record for row in rows)
        ],
    )
