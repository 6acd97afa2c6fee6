"""Semantic compression: normal features of all products in few directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmdefect.functional.subspace import singular_values, tail_below, tail_beyond
from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_choice


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
        share: Threshold of ``'share'``; the release has 0.1 / 256.
        index: The paper's ``t``.
        memory: Rows that are remembered.
        released: Compute the loss and train nothing with it.
    """

    def __init__(
        self,
        *,
        weight: float = 10.0,
        selector: str = 'share',
        share: float = 0.1 / 256,
        index: int = 128,
        memory: int = 768,
        released: bool = False,
    ) -> None:
        super().__init__()
        check_choice('compression.selector', selector, ('share', 'index'))
        self.weight = weight
        self.selector = selector
        self.share = share
        self.index = index
        self.memory = memory
        self.released = released
        # Not part of the model: what was seen lately is not worth a place in a
        # checkpoint and is seen again within an epoch.
        self.register_buffer('rows', torch.zeros(0), persistent=False)
        self.rows: Tensor

    def forward(self, hidden: Sequence[Tensor]) -> Tensor:
        """Loss of decoder outputs, each of shape ``(B, T, width)``.

        Raises:
            ValueError: There is none, as of a decoder of a single layer.
        """
        if not hidden:
            raise ValueError(
                'compression was given no decoder output, for it looks at all layers '
                'but the last: expected transformer.depth of at least 2, or '
                'compression=None'
            )
        live = torch.stack([output.mean(dim=1) for output in hidden])
        if self.released:
            live = live.detach()
        rows = torch.cat([self._remembered(live), live], dim=1)
        if self.training:
            self.rows = rows.detach()[:, -self.memory :]
        values = singular_values(rows)
        tail = (
            tail_below(values, self.share)
            if self.selector == 'share'
            else tail_beyond(values, self.index)
        )
        return self.weight * tail.mean().to(live.dtype)

    def forget(self) -> None:
        """Start with no rows."""
        self.rows = self.rows.new_zeros(0)

    def _remembered(self, live: Tensor) -> Tensor:
        if not self.rows.numel():
            return live.new_zeros(len(live), 0, live.shape[-1])
        return self.rows.to(live)
