"""How a product is learned, and how its maps are summed up."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mmdefect.functional.maps import top_mean
from mmdefect.functional.tolerance import images_needed
from mmdefect.models.anomaly.product_memory.bank import SEARCHES
from mmdefect.utils.checks import check_choice, check_number, check_range

SCORES = ('top_mean', 'max')


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of :class:`~mmdefect.models.anomaly.product_memory.model.ProductMemory`.

    Raises:
        ValueError: No product can be learned with one of them.
    """

    per_class: int
    candidates: int
    pca: float | None
    whiten: float | None
    window: int | str | None
    search: str
    score: str
    top: float
    hold_out: float
    rate: float
    confidence: float
    even: bool = True

    def __post_init__(self) -> None:
        check_choice('model.search', self.search, SEARCHES)
        check_choice('model.score', self.score, SCORES)
        check_number('model.per_class', self.per_class, 1, whole=True)
        check_number('model.candidates', self.candidates, self.per_class, whole=True)
        check_range('model.top', self.top, 0, 1, open_low=True)
        check_range('model.hold_out', self.hold_out, 0, 0.5)
        for name in ('rate', 'confidence'):
            share = getattr(self, name)
            check_range(
                f'model.alarm.{name}', share, 0, 1, open_low=True, open_high=True
            )
        if self.pca is not None:
            check_range('model.pca', self.pca, 0, 1, open_low=True)
        if self.whiten is not None:
            check_range('model.whiten', self.whiten, 0, 1)
        if self.window is not None and self.window != 'auto':
            check_number('model.window', self.window, 0, whole=True)
        if self.search == 'subspace' and self.pca in (None, 1):
            raise ValueError(
                f"model.pca={self.pca} with model.search='subspace': expected a share "
                'below 1, or nothing lies outside the directions; set 0.99'
            )

    @property
    def needed(self) -> int:
        """Good images that certify the rate of false alarms."""
        return images_needed(self.rate, self.confidence)

    @property
    def whole(self) -> int:
        """How many images are kept whole until a product is learned."""
        return 2 * self.needed

    def scores(self, maps: Tensor) -> Tensor:
        """One number for each map ``(..., N)``: mean of its top share, or maximum."""
        if self.score == 'max':
            return maps.amax(dim=-1)
        return top_mean(maps, self.top)
