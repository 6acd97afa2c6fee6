"""GFL head that learns new classes beside old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mmengine.structures import InstanceData
from torch import Tensor

from mmdefect.models.detection.distill.context import DenseOutputs
from mmdefect.models.detection.gfl_head import GFLHead
from mmdefect.models.detection.incremental_head import IncrementalHead
from mmdefect.registry import MODELS


@MODELS.register_module()
class IncrementalGFLHead(IncrementalHead, GFLHead):
    """GFL head whose old class channels get no detection loss from new images.

    What keeps them is the distillation of
    :class:`mmdefect.models.detection.IncrementalGFL`. Arguments, and what becomes of
    remembered images: :class:`IncrementalHead`.
    """

    box_maps: ClassVar[int] = 1

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Return GFL's losses; see :meth:`IncrementalHead.losses_of_maps`."""
        return self.losses_of_maps(
            (cls_scores, bbox_preds),
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore,
        )

    def dense(
        self, features: Sequence[Tensor], maps: Sequence[Sequence[Tensor]]
    ) -> DenseOutputs:
        """Line up the maps; see :meth:`IncrementalHead.dense`."""
        return DenseOutputs.from_head(features, *maps)
