"""MVTec-AD (Bergmann et al., CVPR 2019; IJCV 129, 2021): needs no conversion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.product_checks import (
    ProductReport,
    check_product,
    compare_totals,
)
from mmdefect.datasets.anomaly.classes import MVTEC_AD_TOTALS
from mmdefect.datasets.anomaly.layout import list_products


def check_folder(
    root: Path,
    products: Sequence[str] | None = None,
    *,
    full: bool = False,
    expect_real: bool = False,
    exif: str | None = None,
) -> tuple[list[ProductReport], list[str]]:
    """Check a folder in the layout of MVTec-AD.

    Returns:
        One report a product (all by default), and errors of the whole set.
    """
    found = list_products(root)
    reports = [
        check_product(root, name, full=full, exif=exif) for name in products or found
    ]
    errors = []
    if not reports:
        errors.append(
            f'there is no product in {root}: expected folders such as '
            'bottle/train/good and bottle/test/<kind>; check the path'
        )
    if expect_real:
        errors += compare_totals(reports, MVTEC_AD_TOTALS, title='MVTec-AD')
    return reports, errors
