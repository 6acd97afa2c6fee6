"""Semantic compression: normal features of all products in few directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmdefect.functional.subspace import singular_values, tail_below, tail_beyond
from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_choice, check_range


@MODELS.register_module()
class SemanticCompressionLoss(nn.Module):
    """Penalise the weak singular values of recent decoder features (IUF, ECCV 2024).

    Rows are the token means of a decoder layer's output, one an image. The last
    ``memory`` of them are remembered without gradient, the batch at hand is live: the
    release detaches both, so its loss trains nothing (``released=True`` does that).

    Args:
        weight: Weight of the loss; the paper has 1 to 10, the release 10.
        selector: ``'share'``: values whose share of the sum is below ``share``, as
            released; ``'index'``: all values after the first ``index``, as printed.
        share: Threshold of ``'share'``, as released: a tenth of the mean share at its
            width of 256. At a smaller width nothing falls below it but the direction
            that the LayerNorm before leaves empty, so the loss is as good as off.
        relative: Threshold of ``'share'`` as a part of the mean share at any width,
            instead of ``share``: 0.1 is the released one.
        index: The paper's ``t``, below the width; half of it by default.
        memory: Rows that are remembered.
        released: Compute the loss and train nothing with it.
    """

    def __init__(
        self,
        *,
        weight: float = 10.0,
        selector: str = 'share',
        share: float = 0.1 / 256,
        relative: float | None = None,
        index: int | None = None,
        memory: int = 768,
        released: bool = False,
    ) -> None:
        super().__init__()
        check_choice('compression.selector', selector, ('share', 'index'))
        self.weight = weight
        self.selector = selector
        if relative is not None:
            check_range('compression.relative', relative, 0, 1, open_low=True)
        self.share = share
        self.relative = relative
        self.index = index
        self.memory = memory
        self.released = released
        #: What was seen lately, ``(layers, rows, width)``. No buffer: every process
        #: has its own, not to be averaged, and a finished step needs it no more.
        self.rows = torch.zeros(0)

    def forward(self, hidden: Sequence[Tensor]) -> Tensor:
        """Loss of decoder outputs, each of shape ``(B, T, width)``.

        Raises:
            ValueError: There is none, as of a decoder of a single layer, or ``index``
                leaves no value to penalise.
        """
        if not hidden:
            raise ValueError(
                'transformer.depth=1: expected at least 2, since compression looks at '
                'all layers but the last; or set compression=None'
            )
        live = torch.stack([output.mean(dim=1) for output in hidden])
        if self.released:
            live = live.detach()
        rows = torch.cat([self._remembered(live), live], dim=1)
        if self.training:
            self.rows = rows.detach()[:, -self.memory :]
        tail = self._tail(singular_values(rows), live.shape[-1])
        return self.weight * tail.mean().to(live.dtype)

    def _tail(self, values: Tensor, width: int) -> Tensor:
        if self.selector == 'share':
            relative = self.relative
            return tail_below(values, relative / width if relative else self.share)
        index = width // 2 if self.index is None else self.index
        check_range('compression.index', index, high=width, open_high=True)
        return tail_beyond(values, index)

    def forget(self) -> None:
        """Start with no rows."""
        self.rows = self.rows.new_zeros(0)

    def _remembered(self, live: Tensor) -> Tensor:
        if not self.rows.numel():
            return live.new_zeros(len(live), 0, live.shape[-1])
        return self.rows.to(live)
