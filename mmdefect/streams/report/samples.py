"""Pictures of sample predictions, the same images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdefect.datasets.images import read_info
from mmdefect.visualization.boxes import class_colours, draw_panels
from mmdefect.visualization.page import Picture, Row, Section
from mmdefect.visualization.plots import save_figure

TRUTH = 'ground truth'
# In pixels: of a panel, and of the page between its margins.
PANEL_WIDTH, PAGE_WIDTH = 245, 982


def samples_section(
    columns: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    classes: Sequence[str],
    folder: Path,
    root: Path,
    missing: list[str],
) -> Section:
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
    # Image -> title -> sample; dicts keep the order of the images.
    images: dict[str, dict[str, Mapping[str, Any]]] = {}
    for title in titles:
        for sample in columns[title]:
            images.setdefault(sample['img_path'], {})[title] = sample
    rows = []
    for number, (image, samples) in enumerate(images.items()):
        path = next((p for p in (Path(image), root / image) if p.is_file()), None)
        if path is None:
            missing.append(f"Sample '{image}': the image file is not there any more.")
            continue
        *_, last = samples.values()
        try:  # the pixels that the boxes lie on
            pixels = read_info({**last.get('read', {}), 'img_path': path})[..., ::-1]
        except ValueError as error:
            missing.append(f"Sample '{image}': {error}")
            continue
        panels = {TRUTH: last['gt'], **{t: s['pred'] for t, s in samples.items()}}
        width = min(PANEL_WIDTH, PAGE_WIDTH // len(panels) - 6)
        pictures = []
        for column, (title, boxes) in enumerate(panels.items()):
            figure = draw_panels(pixels, {title: boxes}, colours=class_colours(classes))
            png = save_figure(figure, folder / f'sample_{number}_{column}.png')
            pictures.append(Picture(png, f'{path.name}: {title}', width))
        rows.append(Row(pictures, caption=path.name))
    return Section(
        'Samples of the test set',
        'Left the ground truth, then what each model predicts. Numbers are confidences '
        'in %.',
        pictures=rows,
    )
