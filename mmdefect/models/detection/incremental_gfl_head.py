"""GFL head that is trained on its new classes only."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.structures import InstanceData
from torch import Tensor

from mmdefect.models.detection.gfl_head import GFLHead
from mmdefect.registry import MODELS


@MODELS.register_module()
class IncrementalGFLHead(GFLHead):
    """GFL head whose old class channels get no detection loss (ERD, CVPR 2022).

    Channels are classes in the order of the stream: old first, then new. Labels are
    global, an index into that order. Old channels learn neither positives nor
    background from the new images, where old defects are not labelled; what keeps them
    is the distillation of :class:`mmdefect.models.detection.IncrementalGFL`.

    Args:
        num_old_classes: Channels without detection loss; 0 trains as ``GFLHead``.
        args: Passed to mmdet's ``GFLHead``.
        kwargs: Passed to mmdet's ``GFLHead``.

    Raises:
        ValueError: If no new class remains.
    """

    def __init__(self, *args: Any, num_old_classes: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not 0 <= num_old_classes < self.num_classes:
            raise ValueError(
                f'num_old_classes={num_old_classes}: expected at least 0 and less than '
                f'num_classes={self.num_classes}; a stream sets both'
            )
        self.num_old_classes = num_old_classes

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list[InstanceData],
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list[InstanceData] | None = None,
    ) -> dict[str, list[Tensor]]:
        """Return GFL's losses of the new classes.

        Raises:
            ValueError: An image is labelled with an old or an unknown class.
        """
        old = self.num_old_classes
        # A shallow copy shares all weights and knows the new classes alone, so that
        # background is what mmdet takes it for: the index after the last class.
        new_only = copy.copy(self)
        new_only.num_classes = self.num_classes - old
        new_only.cls_out_channels = self.cls_out_channels - old
        return super(IncrementalGFLHead, new_only).loss_by_feat(
            [maps[:, old:] for maps in cls_scores],
            bbox_preds,
            [self._from_first_new(instances) for instances in batch_gt_instances],
            batch_img_metas,
            batch_gt_instances_ignore,
        )

    def _from_first_new(self, instances: InstanceData) -> InstanceData:
        """Count labels from the first new class."""
        labels = instances.labels
        if len(labels):
            low, high = (int(value) for value in labels.aminmax())
            if low < self.num_old_classes or high >= self.num_classes:
                raise ValueError(
                    f'labels from {low} to {high}: expected new classes, '
                    f'{self.num_old_classes} to {self.num_classes - 1}, since old ones '
                    'get no detection loss; set seen_classes and keep_classes of the '
                    'dataset as a stream does'
                )
        shifted = copy.copy(instances)
        shifted.labels = labels - self.num_old_classes
        return shifted
