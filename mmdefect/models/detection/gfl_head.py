"""GFL head whose losses do not depend on how a batch is spread over processes."""

from __future__ import annotations

from mmdet.models.dense_heads import GFLHead as _GFLHead
from mmengine.dist import get_world_size
from torch import Tensor

from mmdefect.registry import MODELS


@MODELS.register_module()
class GFLHead(_GFLHead):
    """mmdet's GFL head (Li et al., NeurIPS 2020) with global normalisers.

    GIoU and DFL are divided by the sum of the box weights. mmdet clamps that sum to 1
    on the *mean over processes*, so two processes with few positives divide by up to
    twice too much. Here the clamp acts on the sum over the global batch, and N
    processes equal one. With a single process this is mmdet's head, to the last bit.
    """

    def loss_by_feat_single(
        self, *args: Tensor, **kwargs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return QFL, GIoU, DFL and the box weights' sum of one level.

        The last three are scaled by the number of processes: mmdet's mean over
        processes then becomes a sum, before the clamp, and the scale cancels in the
        quotient.
        """
        loss_cls, loss_bbox, loss_dfl, weight = super().loss_by_feat_single(
            *args, **kwargs
        )
        world = get_world_size()
        return loss_cls, loss_bbox * world, loss_dfl * world, weight * world
