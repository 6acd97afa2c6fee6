"""Pictures of sample predictions, the same images side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdefect.datasets.images import read_info
from mmdefect.visualization.boxes import class_colours, draw_panels
from mmdefect.visualization.page import Picture, Row
from mmdefect.visualization.plots import save_figure

TRUTH = 'ground truth'
# In pixels: of a panel, and of the page between its margins.
PANEL_WIDTH, PAGE_WIDTH = 245, 982


def step_titles(steps: Iterable[int]) -> dict[int, str]:
    """Title of the column of each step."""
    return {step: f'after step {step}' for step in steps}


def write_samples(
    columns: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    classes: Sequence[str],
    folder: Path,
    root: Path,
    missing: list[str],
) -> list[Row]:
    """Draw each image once per column, beside its ground truth.

    Args:
        columns: Title -> samples (``img_path``, ``gt``, ``pred``, and how to ``read``
            the file). The ground truth is taken from the last column that has the
            image: it knows most classes. With more than four columns the first and the
            last two are drawn.
        classes: All classes, in the stream's order.
        folder: Where the PNGs go.
        root: Where relative image paths are looked up, if not here.
        missing: Images that cannot be found are named here.
    """
    titles = list(columns)
    if len(titles) > 4:
        titles = [titles[0], *titles[-2:]]
    # Dicts keep the order of the images.
    images = {sample['img_path']: None for name in titles for sample in columns[name]}
    rows = []
    for number, image in enumerate(images):
        path = next((p for p in (Path(image), root / image) if p.is_file()), None)
        if path is None:
            missing.append(f"Sample '{image}': the image file is not there any more.")
            continue
        try:
            pixels = _read(path, image, columns)
        except ValueError as error:
            missing.append(f"Sample '{image}': {error}")
            continue
        panels: dict[str, Sequence[Mapping[str, Any]]] = {TRUTH: []}
        for title in titles:
            for sample in columns[title]:
                if sample['img_path'] == image:
                    panels[TRUTH], panels[title] = sample['gt'], sample['pred']
        width = min(PANEL_WIDTH, PAGE_WIDTH // len(panels) - 6)
        pictures = []
        for column, (title, boxes) in enumerate(panels.items()):
            figure = draw_panels(pixels, {title: boxes}, colours=class_colours(classes))
            png = save_figure(figure, folder / f'sample_{number}_{column}.png')
            pictures.append(Picture(png, f'{path.name}: {title}', width))
        rows.append(Row(pictures, caption=path.name))
    return rows


def _read(
    path: Path, image: str, columns: Mapping[str, Sequence[Mapping[str, Any]]]
) -> np.ndarray:
    """Pixels that the boxes lie on, RGB."""
    samples = (sample for column in columns.values() for sample in column)
    how = (s.get('read', {}) for s in samples if s['img_path'] == image)
    return read_info({**next(how), 'img_path': path})[..., ::-1]
