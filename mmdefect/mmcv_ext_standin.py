"""What ``mmcv._ext`` offers when mmcv was installed without compiled operators.

PyPI holds only the source of mmcv, which installs without them where torch is not
importable at build time, and ``import mmdet.models`` then fails. Detectors such as GFL
need one operator, NMS, and torchvision has it. See :mod:`mmdefect.compat` for how this
module comes to be imported under that name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

BUILD_COMMAND = (
    'MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir '
    '--force-reinstall --no-deps --no-binary onedl-mmcv onedl-mmcv==2.3.6'
)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Keep the best box of every group that overlaps more than a threshold.

    Args:
        boxes: ``(N, 4)`` boxes ``x1, y1, x2, y2`` in pixels.
        scores: ``(N,)``; among equal scores the lower index comes first.
        iou_threshold: A box is dropped when its IoU with a kept one is above this.
        offset: Added to every width and height, 0 or 1 (1 counts the last pixel).

    Returns:
        ``(K,)`` int64 indices of the kept boxes, best first.
    """
    dtype = torch.promote_types(boxes.dtype, scores.dtype)
    if dtype != torch.float64:
        # torchvision's CPU kernel has no half precision.
        dtype = torch.float32
    corners = boxes.to(dtype)
    if offset:
        corners = torch.cat((corners[:, :2], corners[:, 2:] + offset), dim=1)
    return torchvision_nms(corners, scores.to(dtype), iou_threshold)


def __getattr__(name: str) -> Callable[..., NoReturn]:
    # mmcv asks for every operator by `hasattr` when it is imported, so a missing one
    # must exist and may complain only when it is called.
    if name.startswith('__'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def missing_op(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"mmcv's operator '{name}' is not compiled in this environment: build it "
            f'with `{BUILD_COMMAND}`'
        )

    missing_op.__name__ = name
    return missing_op
