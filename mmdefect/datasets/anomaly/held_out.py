"""Products without good test images: some of their good training images stand in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdefect.datasets.anomaly.layout import AnomalyImage, draw_images

SHARE = 0.2
"""Share of ``train/good`` that is held out of training by default."""


def held_out(
    images: Sequence[AnomalyImage], share: float, *, root: Path
) -> list[AnomalyImage]:
    """Draw the share of a product's training images that is tested instead of learned.

    At least one is drawn and one is left; none with a share of 0 or of a single image.
    Training and test, and every step, draw the same: see :func:`.layout.draw_images`.
    """
    if share == 0 or len(images) < 2:
        return []
    number = min(max(round(share * len(images)), 1), len(images) - 1)
    return draw_images(images, number, seed='held out', root=root)


def untested_note(
    product: str, number: int, share: float, *, defects: bool = False
) -> str:
    """Say what a product without good test images is tested on: some held out, if any.

    Args:
        defects: Whether it has defective test images.
    """
    lacking = 'good test images' if defects else 'test images'
    if number:
        return (
            f'{product}: no {lacking}, so {number} good ones are held out of '
            f'training and tested (hold_out={share:g}).'
        )
    if defects:
        return (
            f'{product}: no {lacking}, so its AUROC is undefined; that needs '
            'test/good, or training images to hold out (hold_out).'
        )
    return (
        f'{product}: no test images, so it is not scored; that needs test/good, and '
        'test/<kind> if there are any, or training images to hold out (hold_out).'
    )
