"""Does the evidence of a classifier lie on the defect, over a test set?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.saliency import (
    check_threshold,
    energy,
    iop,
    iou,
    pointing_game,
)
from mmdefect.registry import METRICS
from mmdefect.utils.checks import check_range

MEASURES = ('iou', 'iop', 'pointing_game', 'energy')


@dataclass(frozen=True)  # MMEngine would make a named tuple a plain one
class ImageLocalisation:
    """File of an image; measure -> value, None where it has no mask."""

    path: str
    values: dict[str, float] | None


@METRICS.register_module()
class SaliencyMetric(BaseMetric):
    """Mean IoU, IoP, pointing game and energy of saliency maps against masks.

    For definitions see :mod:`mmdefect.functional.saliency`; the casting study prints
    sums over its images and not means. A classifier's samples hold no maps by
    themselves: ``tools/analysis_tools/saliency.py`` makes them and scores them with
    this. A map is resized bilinearly to its mask.

    Returns the means ``iou``, ``iop``, ``pointing_game`` and ``energy``, over the
    ``scored`` images, and how many images are ``unmasked``. Those do not count, which
    is said in the log. A mask without a defect pixel counts: nothing can hit it.
    Without any mask the means are NaN.

    Args:
        threshold: Share of a map's largest value above which it is a prediction, for
            IoU and IoP; the study has 0.4.
        tolerance: Distance in pixels of the mask within which the pointing game hits.
        kwargs: Passed to MMEngine's ``BaseMetric``.

    Raises:
        ValueError: If the threshold is not in [0, 1) or the tolerance is negative.

    Example:
        >>> import torch
        >>> metric = SaliencyMetric(threshold=0.5)
        >>> metric.process({}, [{'img_path': 'a.png', 'saliency': torch.eye(4),
        ...                      'gt_mask': torch.eye(4)}])
        >>> metric.evaluate(1)['saliency/iou']
        1.0
    """

    default_prefix = 'saliency'

    def __init__(
        self, *, threshold: float = 0.4, tolerance: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_threshold(threshold)
        check_range('tolerance', tolerance, 0)
        self.threshold = threshold
        self.tolerance = tolerance

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score each image that has a mask.

        Args:
            data_batch: Ignored.
            data_samples: Samples with ``img_path``, ``saliency`` ``(h, w)``, not
                negative, and ``gt_mask`` ``(H, W)`` where the defect is outlined.

        Raises:
            ValueError: If a map is missing, negative or not finite, or a shape is
                wrong.
        """
        self.results.extend(self._result(sample) for sample in data_samples)

    def compute_metrics(self, results: list[ImageLocalisation]) -> dict[str, float]:
        """Average over the images that have a mask; name -> value, without the prefix.

        Raises:
            ValueError: If no image was evaluated.
        """
        if not results:
            raise ValueError(
                'no image was evaluated: expected at least one; check the test dataset'
            )
        scored = [result.values for result in results if result.values is not None]
        unmasked = len(results) - len(scored)
        logger: MMLogger = MMLogger.get_current_instance()
        if unmasked:
            logger.warning(
                f'{unmasked} of {len(results)} images have no mask: they are not scored'
            )
        found: dict[str, float] = {
            # In one order on any number of processes, so equal to the last bit.
            name: math.fsum(values[name] for values in scored) / len(scored)
            if scored
            else math.nan
            for name in MEASURES
        }
        return found | {'scored': len(scored), 'unmasked': unmasked}

    def score(self, saliency: Tensor, mask: Tensor) -> dict[str, float]:
        """Measures of one image, of a map ``(h, w)`` and a mask ``(H, W)``.

        Raises:
            ValueError: As in :meth:`process`.
        """
        if saliency.ndim != 2 or mask.ndim != 2:
            raise ValueError(
                f'saliency of shape {tuple(saliency.shape)} and mask of shape '
                f'{tuple(mask.shape)}: expected (height, width) of both'
            )
        saliency = fit_map(saliency, mask.shape)
        return {
            'iou': float(iou(saliency, mask, self.threshold)),
            'iop': float(iop(saliency, mask, self.threshold)),
            'pointing_game': float(
                pointing_game(saliency, mask, tolerance=self.tolerance)
            ),
            'energy': float(energy(saliency, mask)),
        }

    def _result(self, sample: Mapping[str, Any]) -> ImageLocalisation:
        path, saliency = str(sample.get('img_path')), sample.get('saliency')
        if saliency is None:
            raise ValueError(
                f'saliency=None of {path}: expected a map of shape (height, width); '
                'make maps with tools/analysis_tools/saliency.py'
            )
        mask = sample.get('gt_mask')
        if mask is None:
            return ImageLocalisation(path, None)
        return ImageLocalisation(path, self.score(saliency.detach().cpu(), mask.cpu()))


def fit_map(saliency: Tensor, shape: Sequence[int]) -> Tensor:
    """Resize a map ``(h, w)`` bilinearly to a height and a width."""
    if tuple(saliency.shape) == tuple(shape):
        return saliency
    size = list(shape)
    return F.interpolate(saliency[None, None], size, mode='bilinear')[0, 0]
