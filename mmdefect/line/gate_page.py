"""What a promotion shows: the table, and pictures of what became better or worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmdefect.deploy.result import Prediction
from mmdefect.deploy.saving import encoded
from mmdefect.line.exam import Truth
from mmdefect.line.examine import Look
from mmdefect.line.gate import GateRow, Verdict
from mmdefect.utils.checks import visible
from mmdefect.visualization.page import (
    Page,
    Picture,
    Row,
    Section,
    Table,
    footer_text,
    write_page,
)

#: Pictures of a class that changed in one way; how many there are in all is said.
MOST = 4
#: Longer side of a picture on the page, in pixels.
SIDE = 640
_WIDTH = 420
NUMBERS = (
    'instances', 'found, old', 'found, new', 'missed, old', 'missed, new',
    'false, old', 'false, new',
)  # fmt: skip
LOST, WON = 'found by the old version, missed by the new', 'found by the new one only'
RAISED, GONE = 'false alarms of the new version only', 'false alarms that are gone'
#: In this order on the page: what is worse comes first.
WAYS = (LOST, RAISED, WON, GONE)
Change = tuple[str, str, str]
"""Exam, class (or product), and one of :data:`WAYS`."""


class Changes:
    """Images on which two versions differ: all are counted, the first few are drawn.

    Args:
        folder: For the pictures.

    Attributes:
        counts: How many images of each change there are.
        rows: Pictures of the first :data:`MOST` of each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[Change] = Counter()
        self.rows: dict[Change, list[Row]] = {}

    def add(self, exam: str, look: Look) -> None:
        """Take an image that was looked at; of one version alone nothing changed."""
        if len(look.seen) < 2:
            return
        drawn: list[Picture] = []
        for kind, way in dict.fromkeys(_changes(look)):
            change = (exam, kind, way)
            self.counts[change] += 1
            rows = self.rows.setdefault(change, [])
            if len(rows) < MOST:
                drawn = drawn or self._drawn(look)
                rows.append(Row(drawn, caption=visible(look.image.file)))

    def _drawn(self, look: Look) -> list[Picture]:
        """Old and new beside each other."""
        number = len([*self.folder.glob('*-old.jpg')])
        pictures = []
        for name, found in zip(('old', 'new'), look.predictions, strict=True):
            path = self.folder / f'{number:03d}-{name}.jpg'
            path.write_bytes(encoded(_picture(found, look.pixels, look.image.truths)))
            alt = f'{look.image.file}, {name} version: {found.decision}'
            pictures.append(
                Picture(path, visible(alt), _WIDTH, caption=name, shrinks=True)
            )
        return pictures


def _changes(look: Look) -> Iterator[tuple[str, str]]:
    """Of an image, which classes changed in which way."""
    old, new = look.seen
    for truth, before, after in zip(
        look.image.truths, old.found, new.found, strict=True
    ):
        if before != after and not truth.ignored:
            yield truth.kind, LOST if before else WON
    # Maps name no kind: their false alarms are those of the product.
    places = {name: name or look.image.product for name in (*old.false, *new.false)}
    for name, place in places.items():
        more = new.false.count(name) - old.false.count(name)
        if more:
            yield place, RAISED if more > 0 else GONE


def _picture(
    found: Prediction, pixels: np.ndarray, truths: Sequence[Truth]
) -> np.ndarray:
    """A prediction, and around its boxes the annotated ones: white with a dark rim."""
    drawn = found.draw(pixels)
    # Small images are enlarged by a whole factor, below a line of text.
    factor = drawn.shape[1] // pixels.shape[1]
    top = len(drawn) - factor * len(pixels)
    thick = max(1, round(max(drawn.shape[:2]) / 300))
    for box in (truth.box for truth in truths if truth.box is not None):
        x1, y1, x2, y2 = (round(factor * value) for value in box)
        low = (x1 - 3 * thick, y1 - 3 * thick + top)
        high = (x2 + 3 * thick, y2 + 3 * thick + top)
        for colour, width in (((40, 40, 40), 3 * thick), ((255, 255, 255), thick)):
            cv2.rectangle(drawn, low, high, colour, width)
    scale = SIDE / max(drawn.shape[:2])
    if scale >= 1:
        return drawn
    size = (round(scale * drawn.shape[1]), round(scale * drawn.shape[0]))
    return cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)


def gate_table(verdict: Verdict) -> Table:
    """The table of an exam: classes, false alarms, and what holds for all of it."""
    products = ['product'] * any(row.product for row in verdict.rows)
    header = ['class', *products, 'verdict', *NUMBERS, 'what to know']
    rows = [_cells(row, products=bool(products)) for row in verdict.rows]
    rows += [['all', *[''] * (len(header) - 2), note] for note in verdict.notes]
    return Table(header, rows, NUMBERS)


def _cells(row: GateRow, *, products: bool) -> list[str]:
    numbers = (*row.found, *row.missed, *row.false)
    instances = str(row.number)
    if row.images != row.number:
        instances += f' on {row.images}'
    return [
        visible(row.kind) or 'false alarms',
        *[visible(row.product) or '–'] * products,
        'passed' if row.passed else 'REFUSED',
        instances,
        *('–' if value is None else str(value) for value in numbers),
        row.note,
    ]


def write_gate_page(
    verdicts: Sequence[Verdict],
    changes: Changes,
    folder: Path,
    *,
    package: str,
    previous: str | None,
    notes: Sequence[str],
    forced: str | None = None,
) -> Path:
    """Write ``index.html``, which needs nothing beside it, and ``report.md``.

    Args:
        verdicts: Of each exam.
        changes: Images on which the versions differ.
        folder: Where the pictures are.
        package: Name of what was examined, the new version.
        previous: Name of the old version; None if there is none.
        notes: What the exams together do not say.
        forced: Why it is promoted whatever the exams say; None if it is not.

    Returns:
        The HTML file.
    """
    reasons = [why for verdict in verdicts for why in verdict.reasons]
    name = f'{visible(package)} in place of {previous or "no version"}'
    headline = f'Passes {counted(verdicts)}' if verdicts else 'There is no exam'
    if reasons:
        more = f' and {len(reasons) - 1} more' if len(reasons) > 1 else ''
        state = f'Forced ({forced})' if forced else 'Refused'
        headline = f'{state}: {reasons[0]}{more}'
    page = Page(
        name=name,
        headline=headline,
        lead='Old is the version in use, new the package. A box counts from the '
        'threshold of its class on, and finds what it overlaps by half (IoU 0.5).',
        missing=notes,
        sections=[*_sections(verdicts, changes)],
        footer_text=footer_text('the frozen exams of the line'),
    )
    return write_page(page, folder)


def _sections(verdicts: Sequence[Verdict], changes: Changes) -> Iterator[Section]:
    for verdict in verdicts:
        yield Section(
            title=f'Exam {verdict.exam}: {"passed" if verdict.passed else "refused"}',
            text=' '.join(_sentences(verdict)),
            table=gate_table(verdict),
        )
        own = [one for one in changes.counts if one[0] == verdict.exam]
        for change in sorted(own, key=lambda one: (WAYS.index(one[2]), one[1])):
            rows, count = changes.rows[change], changes.counts[change]
            shown = f'the first {len(rows)} of {count}' if count > len(rows) else 'all'
            yield Section(
                title=f'{change[1]}: {change[2]} ({count})',
                text=f'Exam {verdict.exam}; shown: {shown}. Annotated boxes are white.',
                pictures=rows,
            )


def counted(exams: Collection[object]) -> str:
    """How many exams there are, e.g. ``'1 exam'``."""
    return f'{len(exams)} exam{"s" * (len(exams) != 1)}'


def _sentences(verdict: Verdict) -> Iterator[str]:
    yield from (f'{why}.' for why in verdict.reasons)
    yield from (f'{note[0].upper()}{note[1:]}.' for note in verdict.notes)


def in_lines(verdicts: Sequence[Verdict], notes: Sequence[str]) -> list[str]:
    """The tables for a terminal; needs no package for that."""
    lines = []
    for verdict in verdicts:
        table = gate_table(verdict)
        lines += [f'exam {verdict.exam}: {"passed" if verdict.passed else "REFUSED"}']
        lines += _aligned([table.header, *table.rows], table.numbers)
    return [*lines, *(f'note: {note}' for note in notes)]


def _aligned(rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [name in numbers for name in rows[0]]
    return [
        '  '.join(
            cell.rjust(width) if align else cell.ljust(width)
            for cell, width, align in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]
