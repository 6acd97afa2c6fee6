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
    for number, samples in enumerate(images.values()):
        *_, last = samples.values()
        row = sample_row(
            last,
            {TRUTH: last['gt'], **{t: s['pred'] for t, s in samples.items()}},
            name=f'sample_{number}',
            classes=classes,
            folder=folder,
            root=root,
            missing=missing,
        )
        rows += [] if row is None else [row]
    return Section(
        'Samples of the test set',
        'Left the ground truth, then what each model predicts. Numbers are confidences '
        'in %.',
        pictures=rows,
    )


def sample_row(
    sample: Mapping[str, Any],
    panels: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    name: str,
    classes: Sequence[str],
    folder: Path,
    root: Path,
    missing: list[str],
) -> Row | None:
    """Draw an image several times, each time with other boxes.

    Args:
        sample: ``img_path``, and how to ``read`` the file.
        panels: Title -> boxes, as :func:`draw_panels` takes them.
        name: What the names of the PNGs begin with.
        classes: As for :func:`samples_section`, and so on.

    Returns:
        ``None`` for an image that cannot be read, which ``missing`` names then.
    """
    image = sample['img_path']
    path = next((p for p in (Path(image), root / image) if p.is_file()), None)
    if path is None:
        missing.append(f"Sample '{image}': the image file is not there any more.")
        return None
    try:  # the pixels that the boxes lie on
        pixels = read_info({**sample.get('read', {}), 'img_path': path})[..., ::-1]
    except ValueError as error:
        missing.append(f"Sample '{image}': {error}")
        return None
    width = min(PANEL_WIDTH, PAGE_WIDTH // len(panels) - 6)
    pictures = []
    for column, (title, boxes) in enumerate(panels.items()):
        figure = draw_panels(pixels, {title: boxes}, colours=class_colours(classes))
        png = save_figure(figure, folder / f'{name}_{column}.png')
        pictures.append(Picture(png, f'{path.name}: {title}', width))
    return Row(pictures, caption=path.name)
