"""How many bits the 16-bit images of a product use.

The training images of a product say it, also for its test images: training, test, every
step of a stream and a resume find the same number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdefect.datasets.anomaly.layout import GOOD, AnomalyImage, image_files
from mmdefect.datasets.images import deep_images, detect_bits, look_at
from mmdefect.utils.checks import name_some


def product_bits(
    products: Mapping[str, Sequence[AnomalyImage]],
    *,
    root: Path | None,
    bits: int | None = None,
) -> tuple[dict[str, int], list[str]]:
    """Find the bits of every product that has images of 16 bits.

    Args:
        products: Product -> its images.
        root: Folder of the products, whose ``train/good`` says; None for a list, whose
            own images say.
        bits: What the user says, for all products.

    Returns:
        Product -> bits, 8 to 16; one sentence if images have larger values than that.
    """
    found: dict[str, int] = {}
    beyond = []
    for name, images in products.items():
        paths = [str(image.path) for image in images]
        if not (deep := deep_images(paths)):
            continue
        asked = paths if root is None else image_files(root / name / 'train' / GOOD)
        number = bits or detect_bits(asked, name=name) or detect_bits(paths, name=name)
        if number is None:
            continue
        found[name] = number
        for path in deep:
            top = look_at(path, full=True).top
            if top >= 2**number:
                beyond.append(f'{path} up to {top}, {number} bits')
    if not beyond:
        return found, []
    return found, [
        f'images of 16 bits have larger values ({name_some(beyond)}) than those of '
        'training or bits=... say: expected the bits of the camera; give them, equal '
        'in training and test'
    ]
