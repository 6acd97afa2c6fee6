"""Maps and scores from reconstruction errors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice

SCORES = ('pooled_max', 'max', 'mean', 'std')
# UniAD's window, in pixels of a 224 px map.
WINDOW = 16


def check_score(score: str) -> None:
    """Refuse an unknown score."""
    check_choice('model.score', score, SCORES)


def with_scores(
    maps: Tensor, data_samples: Sequence[AnomalySample], score: str
) -> list[AnomalySample]:
    """Put map and score into the samples.

    Args:
        maps: Shape ``(B, 1, h, w)``.
        data_samples: One a map; ``img_shape`` says how large its map becomes
            (bilinear, corners aligned).
        score: See :func:`image_scores`.
    """
    for sample, small in zip(data_samples, maps, strict=True):
        size = tuple(sample.img_shape[:2])
        full = F.interpolate(small[None], size, mode='bilinear', align_corners=True)
        sample.pred_map = full[0, 0]
        sample.pred_score = image_scores(full, score)[0]
    return list(data_samples)


def anomaly_map(features: Tensor, rebuilt: Tensor) -> Tensor:
    """Distance of every token from its reconstruction.

    Args:
        features: Shape ``(B, C, h, w)``.
        rebuilt: The same.

    Returns:
        Shape ``(B, 1, h, w)``, L2 over the channels.
    """
    return (rebuilt - features).norm(dim=1, keepdim=True)


def image_scores(maps: Tensor, score: str = 'pooled_max') -> Tensor:
    """One number an image, larger is more anomalous.

    Args:
        maps: Shape ``(B, 1, H, W)``.
        score: ``'pooled_max'``, the largest mean over 16 x 16 pixels (UniAD's for
            MVTec); ``'max'``, ``'mean'`` or ``'std'`` of the map.

    Returns:
        Shape ``(B,)``.
    """
    check_score(score)
    if score == 'pooled_max':
        window = min(WINDOW, *maps.shape[-2:])
        # One way after the other: the same mean for an eighth of the sums.
        rows = F.avg_pool2d(maps, (window, 1), stride=1)
        return F.avg_pool2d(rows, (1, window), stride=1).flatten(1).amax(dim=1)
    flat = maps.flatten(1)
    return {'max': flat.amax(1), 'mean': flat.mean(1), 'std': flat.std(1)}[score]
