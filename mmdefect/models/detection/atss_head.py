"""ATSS heads: losses that any number of processes share, and new beside old classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmdet.models.dense_heads import ATSSHead as _ATSSHead
from mmengine.dist import get_world_size
from mmengine.structures import InstanceData
from torch import Tensor

from mmdefect.models.detection.distill.context import DenseOutputs, flat
from mmdefect.models.detection.incremental_head import IncrementalHead
from mmdefect.registry import MODELS


@MODELS.register_module()
class ATSSHead(_ATSSHead):
    """mmdet's ATSS head (Zhang et al., CVPR 2020) with a global normaliser of boxes.

    For what, see :class:`mmdefect.models.detection.gfl_head.GFLHead`. With a single
    process this is mmdet's head, to the last bit.
    """

    def loss_by_feat_single(
        self, *args: Tensor, **kwargs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return focal, GIoU and centerness losses, and the box weights' sum.

        GIoU and the sum are scaled by the number of processes.
        """
        loss_cls, loss_bbox, loss_centerness, weight = super().loss_by_feat_single(
            *args, **kwargs
        )
        world = get_world_size()
        return loss_cls, loss_bbox * world, loss_centerness, weight * world


@MODELS.register_module()
class IncrementalATSSHead(IncrementalHead, ATSSHead):
    """ATSS head whose old class channels get no detection loss from new images.

    What keeps them is the distillation of
    :class:`mmdefect.models.detection.IncrementalATSS`. The centerness belongs to no
    class: every box teaches it, and no strategy compares it.

    Raises:
        ValueError: There is more than one prior a location, or too few classes.
    """

    box_maps: ClassVar[int] = 2

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.num_base_priors != 1:
            raise ValueError(
                f'{self.num_base_priors} priors a location: expected one, as ATSS has '
                'it; set ratios=[1.0] and scales_per_octave=1 of anchor_generator'
            )

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Return ATSS's losses; see :meth:`IncrementalHead.losses_of_maps`."""
        return self.losses_of_maps(
            (cls_scores, bbox_preds, centernesses),
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore,
        )

    def dense(
        self, features: Sequence[Tensor], maps: Sequence[Sequence[Tensor]]
    ) -> DenseOutputs:
        """Line up the maps; a box has no distribution, so it is decoded."""
        classes, deltas = flat(maps[0]), flat(maps[1])
        sizes = [level.shape[-2:] for level in maps[0]]
        priors = torch.cat(
            self.prior_generator.grid_priors(sizes, device=deltas.device)
        )
        images = len(deltas)
        boxes = self.bbox_coder.decode(
            priors.repeat(images, 1), deltas.flatten(0, 1)
        ).unflatten(0, (images, len(priors)))
        return DenseOutputs(classes=classes, boxes=boxes, features=tuple(features))
