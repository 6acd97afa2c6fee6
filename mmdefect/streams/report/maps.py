"""Anomaly maps in a report: the same images after each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmdefect.evaluation.anomaly_alarms import ALARM_METRICS
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report.summary import joined, scalar
from mmdefect.visualization.anomaly import GAP, side_by_side, split_panels
from mmdefect.visualization.page import Picture, Section, Table, percent

Maps = Sequence[Mapping[str, Any]]
PANEL_WIDTH = 160
MAX_COLUMNS = 6
# A page of more images would take long to open; then each product shows its first one.
MAX_IMAGES = 36
# Panels of a row: the one on the left, and the one of each column.
UPPER, LOWER = ('image', 'dataset'), ('mask', 'own')
# Of alarms; all but the first are numbers.
ALARM_HEADER = (
    'Product',
    'Good images',
    'False alarms',
    'Certified at most',
    'Defective images',
    'Misses',
    'Product recognised',
)


def maps_section(
    columns: Mapping[str, Maps],
    *,
    classes: Sequence[str],
    folder: Path,
    missing: list[str],
) -> Section:
    """Draw one picture per image, the columns side by side.

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
    # Product -> image -> title -> entry; dicts keep the order of the images.
    shown: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    for title in titles:
        for entry in columns[title]:
            if Path(entry['picture']).is_file():
                images = shown.setdefault(entry['product'], {})
                images.setdefault(entry['img_path'], {})[title] = entry
            else:
                missing.append(
                    f"Anomaly map '{entry['picture']}': the file is not there."
                )
    first_only = sum(map(len, shown.values())) > MAX_IMAGES
    pictures = [
        _picture(entries, folder / f'maps_{number}_{k}.png')
        for number, product in enumerate(classes)
        for k, entries in enumerate(shown.get(product, {}).values())
        if not (first_only and k)
    ]
    return Section(
        'Anomaly maps of the test set',
        'Left the image and below it its defect; then its anomaly map, blue low, red '
        'high. Upper rows are on the scale of all maps of that test and so compare '
        'images; lower rows, on their own scale, show where the one map peaks, with '
        'the defect outlined. Numbers are image scores.',
        pictures=pictures,
    )


def _picture(entries: Mapping[str, Mapping[str, Any]], path: Path) -> Picture:
    """Put the panels of an image into a grid: two rows if it is defective."""
    cells = [_panels(entry) for entry in entries.values()]
    first, about = cells[0], next(iter(entries.values()))
    height, width = first['image'].shape[:2]
    size = PANEL_WIDTH, max(1, round(height * PANEL_WIDTH / width))
    blank = np.full((1, 1, 3), 255, np.uint8)

    def tile(panels: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        return np.asarray(Image.fromarray(panels.get(name, blank)).resize(size))

    rows = [
        side_by_side([tile(first, left), *(tile(panels, name) for panels in cells)])
        for left, name in ([UPPER, LOWER] if about['defective'] else [UPPER])
    ]
    gap = np.full((GAP, *rows[0].shape[1:]), 255, np.uint8)
    grid = rows[0] if len(rows) == 1 else np.vstack([rows[0], gap, rows[1]])
    path.parent.mkdir(parents=True, exist_ok=True)
    # With 256 colours it has a third of the size of full colour.
    Image.fromarray(grid).quantize(256).save(path)
    said = ', '.join(
        title if entry['score'] is None else f'{title} {entry["score"]:.3g}'
        for title, entry in entries.items()
    )
    alt = f'Anomaly maps of {about["product"]}: {", ".join(entries)}'
    caption = f'{about["product"]}, {about["defect"]}: {said}'
    return Picture(path, alt, grid.shape[1], caption=caption)


def _panels(entry: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Name -> panel, cut out of the picture; RGB."""
    with Image.open(entry['picture'], formats=['PNG']) as file:
        strip = np.asarray(file.convert('RGB'))
    names = entry['panels']
    return dict(zip(names, split_panels(strip, len(names)), strict=True))


def alarm_section(matrices: Mapping[str, StreamMatrix]) -> Section | None:
    """Return how the decisions on each product turned out after the last step.

    Args:
        matrices: Name of each model -> its scores; a single one goes unnamed.

    Returns:
        ``None`` where no model decides.
    """
    table = joined({name: alarm_table(matrix) for name, matrix in matrices.items()})
    if table is None:
        return None
    return Section(
        title='Alarms and routing',
        text=(
            'After the last step, each image decided on as it would be in production: '
            'an alarm is a score above the threshold of the product that was '
            'recognised. False alarms are good images with an alarm, misses defective '
            'ones without. A product that is taken for none of them is an alarm, too. '
            'Certified is the rate that good images have promised which were held out; '
            'a dash is an estimate.'
        ),
        table=table,
    )


def alarm_table(matrix: StreamMatrix) -> Table:
    """One row a product that the last step has decided on."""
    rows = []
    for last in matrix.steps[-1:]:
        for name in last.old + last.new:
            found = {key: scalar(last, key, name) for key in ALARM_METRICS}
            if any(value == value for value in found.values()):
                good = scalar(last, 'good_images', name)
                defective = scalar(last, 'defective_images', name)
                rows.append(
                    [
                        name,
                        f'{good:.0f}',
                        percent(found['false_alarm']),
                        percent(scalar(last, 'certified', name)),
                        f'{defective:.0f}',
                        percent(found['miss']),
                        percent(found['routing']),
                    ]
                )
    return Table(ALARM_HEADER, rows, ALARM_HEADER[1:])
