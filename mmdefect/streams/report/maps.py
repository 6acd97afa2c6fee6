"""Anomaly maps in a report: the same images after each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from mmdefect.visualization.anomaly import split_panels
from mmdefect.visualization.page import Picture
from mmdefect.visualization.plots import INK, save_figure, shortened

Maps = Sequence[Mapping[str, Any]]
PANEL_WIDTH = 140
MAX_COLUMNS = 6
# A page of more images would take long to open; then each product shows its first one.
MAX_IMAGES = 36

TEXT = (
    'Left the image and below it its defect; then its anomaly map, blue low, red high. '
    'Upper rows are on the scale of all maps of that test and so compare images; rows '
    'of the own scale show where the one map peaks, with the defect outlined. Numbers '
    'are image scores.'
)


@dataclass(frozen=True)
class _Row:
    """Panels of one row: the left one, then one per column; ``None`` stays empty."""

    label: str
    left: np.ndarray | None
    panels: list[np.ndarray | None]
    notes: list[str]


def write_maps(
    columns: Mapping[str, Maps],
    *,
    classes: Sequence[str],
    folder: Path,
    missing: list[str],
) -> list[Picture]:
    """Draw one grid per product: its images downwards, the columns across.

    Args:
        columns: Title -> entries of a ``maps.json``, their pictures as full paths. With
            more than six columns the first and the last five are drawn.
        classes: All products, in the stream's order.
        folder: Where the PNGs go.
        missing: Pictures that cannot be found are named here.
    """
    titles = list(columns)
    if len(titles) > MAX_COLUMNS:
        titles = [titles[0], *titles[1 - MAX_COLUMNS :]]
    shown = {title: _readable(columns[title], missing) for title in titles}
    images = {entry['img_path'] for maps in shown.values() for entry in maps}
    pictures = []
    for number, product in enumerate(classes):
        known = {
            title: own
            for title, maps in shown.items()
            if (own := [entry for entry in maps if entry['product'] == product])
        }
        if not known:
            continue
        rows = _rows(known, first_only=len(images) > MAX_IMAGES)
        path = _save(_figure(rows, list(known)), folder / f'maps_{number}.png')
        alt = f'Anomaly maps of {product}: {", ".join(known)}'
        width = PANEL_WIDTH * (1 + len(known)) + 24
        pictures.append(Picture(path, alt, width, caption=product))
    return pictures


def _readable(maps: Maps, missing: list[str]) -> list[Mapping[str, Any]]:
    found = []
    for entry in maps:
        if Path(entry['picture']).is_file():
            found.append(entry)
        else:
            missing.append(f"Anomaly map '{entry['picture']}': the file is not there.")
    return found


def _panels(entry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Name -> panel, cut out of the picture; RGB."""
    with Image.open(entry['picture'], formats=['PNG']) as file:
        strip = np.asarray(file.convert('RGB'))
    names = entry['panels']
    return dict(zip(names, split_panels(strip, len(names)), strict=True))


def _rows(columns: Mapping[str, Maps], *, first_only: bool) -> list[_Row]:
    """Two rows for a defective image, one for a good one."""
    # Dicts keep the order of the images.
    images = {entry['img_path']: entry for maps in columns.values() for entry in maps}
    rows = []
    for image, about in list(images.items())[: 1 if first_only else None]:
        entries = [
            next((entry for entry in maps if entry['img_path'] == image), None)
            for maps in columns.values()
        ]
        cells = [_panels(entry) if entry else {} for entry in entries]
        left = next(cell for cell in cells if cell)
        scores = [
            f'{entry["score"]:.3g}' if entry and entry['score'] is not None else ''
            for entry in entries
        ]
        upper = [cell.get('dataset') for cell in cells]
        rows.append(_Row(about['defect'], left['image'], upper, scores))
        if about['defective']:
            lower = [cell.get('own') for cell in cells]
            rows.append(_Row('own scale', left.get('mask'), lower, [''] * len(lower)))
    return rows


def _figure(rows: Sequence[_Row], titles: Sequence[str]) -> Figure:
    """Draw the grid; row labels on the left, titles above, scores in the panels."""
    first = next(row.left for row in rows if row.left is not None)
    side, ratio = 1.15, first.shape[0] / first.shape[1]
    figure = Figure(figsize=(side * (1 + len(titles)), side * ratio * len(rows)))
    grid = figure.subplots(len(rows), 1 + len(titles), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        for axes, panel, note in zip(
            line, [row.left, *row.panels], ['', *row.notes], strict=True
        ):
            _panel(axes, panel, note)
        line[0].set_ylabel(shortened(row.label), fontsize=6.5, color=INK, labelpad=3)
    for axes, title in zip(grid[0], ['image', *titles], strict=True):
        axes.set_title(shortened(title), fontsize=7, color=INK, pad=3)
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.03, hspace=0.03)
    return figure


def _panel(axes: Axes, panel: np.ndarray | None, note: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if panel is None:
        return
    axes.imshow(panel)
    if note:
        axes.text(
            0.03,
            0.03,
            note,
            transform=axes.transAxes,
            fontsize=6,
            color=INK,
            bbox={'facecolor': 'white', 'edgecolor': 'none', 'pad': 1.2, 'alpha': 0.85},
        )


def _save(figure: Figure, path: Path) -> Path:
    """Write a figure with 256 colours, a third of the size of full colour."""
    save_figure(figure, path)
    with Image.open(path) as file:
        reduced = file.convert('RGB').quantize(256)
    reduced.save(path)
    return path
