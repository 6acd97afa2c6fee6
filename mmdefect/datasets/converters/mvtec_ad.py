"""MVTec-AD (Bergmann et al., CVPR 2019; IJCV 129, 2021): needs no conversion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdefect.datasets.anomaly_layout import list_products
from mmdefect.datasets.converters.product_checks import (
    ProductReport,
    check_product,
    compare_totals,
)

REAL_TOTALS: dict[str, tuple[int, int, int]] = {
    'bottle': (209, 20, 63),
    'cable': (224, 58, 92),
    'capsule': (219, 23, 109),
    'carpet': (280, 28, 89),
    'grid': (264, 21, 57),
    'hazelnut': (391, 40, 70),
    'leather': (245, 32, 92),
    'metal_nut': (220, 22, 93),
    'pill': (267, 26, 141),
    'screw': (320, 41, 119),
    'tile': (230, 33, 84),
    'toothbrush': (60, 12, 30),
    'transistor': (213, 60, 40),
    'wood': (247, 19, 60),
    'zipper': (240, 32, 119),
}
"""Normal training, good test and defective test images of each product."""

MVTEC_AD_CLASSES = tuple(REAL_TOTALS)
"""In the order of the incremental protocols."""


def check_folder(
    root: Path,
    products: Sequence[str] | None = None,
    *,
    full: bool = False,
    expect_real: bool = False,
    exif: str | None = None,
) -> tuple[list[ProductReport], list[str]]:
    """Check a folder in the layout of MVTec-AD.

    Args:
        root: Folder that holds the products.
        products: Which of them; all by default.
        full: Whether to decode every file.
        expect_real: Whether to compare the totals with those of the real set.
        exif: See :func:`mmdefect.datasets.anomaly_checks.file_errors`.

    Returns:
        One report a product, and errors of the whole set.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    found = list_products(root)
    reports = [
        check_product(root, name, full=full, exif=exif) for name in products or found
    ]
    errors = []
    if not reports:
        errors.append(
            f'There is no product in {root}; expected folders such as bottle/train/good'
            ' and bottle/test/<kind>: check the path.'
        )
    if expect_real:
        errors += compare_totals(reports, REAL_TOTALS, title='MVTec-AD')
    return reports, errors
