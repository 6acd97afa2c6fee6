"""What makes a dense head of mmdet learn new classes beside old ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmcv.ops import batched_nms
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmengine.structures import InstanceData
from torch import Tensor

from mmdefect.functional.competition import compete
from mmdefect.models.detection.distill.context import DenseOutputs
from mmdefect.utils.checks import check_number

# A logit whose score is 0 to the last bit, in float16 too: no loss and no gradient.
_SILENT = -1e4
# Of test_cfg: what is set, its default and its largest value.
OPTIONS = {
    'competition': ('power', 1.0, math.inf),
    'suppress_across': ('iou', 0.8, 1.0),
}


class IncrementalHead(BaseDenseHead):
    """Mixin, before a head of one prior a location with sigmoid class scores.

    Channels are classes in the order of the stream: old first, then new. Labels are
    global, an index into that order. The images of a batch are of three kinds:

    - New images, without a mark. Only the channels of the new classes get a detection
      loss (ERD, CVPR 2022): old defects are not labelled there, so old channels learn
      neither positives nor background. What keeps them is distillation.
    - Remembered images, ``replayed=True`` in their metainfo, are labelled with old
      classes. All channels get the loss of an ordinary detector; to the new ones all
      that is not labelled is background.
    - New images with pasted old objects, ``rehearsed=True``: as new images, but at the
      positive priors of a box of an old class, all channels get the loss.

    mmdet divides losses by one count of positives (boxes by one sum of weights) over
    the whole batch. So it is here, over images of all kinds: a positive prior weighs
    the same wherever it is, and each image as in mmdet's loss of that batch.

    Args:
        num_old_classes: Channels without detection loss; 0 trains as the plain head.
        step_sizes: Number of classes that each step has brought, the first step first;
            ``[old, new]`` by default. Read where classes compete.
        args: Passed to the head.
        kwargs: Passed to the head.

    Two options of ``test_cfg`` change predictions, here and in an exported package, not
    in mmdet's own detector, which ignores them:

    - ``competition=dict(power=1.0)``: classes of a later step yield where an earlier
      step is sure, see :func:`mmdefect.functional.compete`;
    - ``suppress_across=dict(iou=0.8)``: of boxes of different classes that overlap
      more than this, after the suppression within classes, the best is kept.

    Raises:
        ValueError: If no new class remains, steps and classes are not as many, or an
            option of ``test_cfg`` is not as above.
    """

    #: Maps that the head puts out beside the class scores.
    box_maps: ClassVar[int]

    def __init__(
        self,
        *args: Any,
        num_old_classes: int = 0,
        step_sizes: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not 0 <= num_old_classes < self.num_classes:
            raise ValueError(
                f'num_old_classes={num_old_classes}: expected at least 0 and less than '
                f'num_classes={self.num_classes}; a stream sets both'
            )
        self.num_old_classes = num_old_classes
        new = self.num_classes - num_old_classes
        given = [num_old_classes, new] if step_sizes is None else step_sizes
        self.step_sizes = [size for size in given if size]
        if (
            min(self.step_sizes, default=0) < 0
            or sum(self.step_sizes) != self.num_classes
        ):
            raise ValueError(
                f'step_sizes={list(given)}: expected the number of classes of each '
                f'step, num_classes={self.num_classes} together; a stream sets both'
            )
        for name in OPTIONS:
            self.option(name)  # refuses what it does not know
        self._labelled: Tensor | None = None  # of the images of a batch, while it lasts

    def losses_of_maps(
        self,
        maps: Sequence[list[Tensor]],
        instances: list[InstanceData],
        metas: list[dict],
        ignored: list[InstanceData] | None,
    ) -> dict[str, list[Tensor]]:
        """Return the losses of the plain head, each channel where it is labelled.

        Args:
            maps: Class scores ``(N, C, H, W)`` of each level, then the other maps.
            instances: Ground truth of each image, labels global.
            metas: Of each image; ``replayed`` and ``rehearsed`` are read.
            ignored: Boxes that are no background.

        Raises:
            ValueError: An image is labelled with a class that it should not be.
        """
        for found, meta in zip(instances, metas, strict=True):
            self._check_labels(found, meta)
        old = self.num_old_classes
        # A shallow copy shares all weights.
        inner = copy.copy(self)
        if old and any(m.get('replayed') or m.get('rehearsed') for m in metas):
            labelled = [bool(meta.get('replayed')) for meta in metas]
            inner._labelled = torch.tensor(labelled, device=maps[0][0].device)
        else:
            # It knows the new classes alone, so that background is what mmdet takes it
            # for: the index after the last class.
            inner.num_classes -= old
            inner.cls_out_channels -= old
            maps = [[level[:, old:] for level in maps[0]], *maps[1:]]
            instances = [_counted_from(old, found) for found in instances]
        return super(IncrementalHead, inner).loss_by_feat(
            *maps, instances, metas, ignored
        )

    def loss_by_feat_single(self, *args: Any, **kwargs: Any) -> Any:
        """Silence old channels at the priors of a level where they are not labelled."""
        anchors, scores, *others = args
        if self._labelled is not None:
            old, labels = self.num_old_classes, others[self.box_maps]
            known = self._labelled[:, None] | (labels < old)
            unknown = ~known.view_as(scores[:, :1])
            quiet = scores[:, :old].masked_fill(unknown, _SILENT)
            scores = torch.cat([quiet, scores[:, old:]], dim=1)
        return super().loss_by_feat_single(anchors, scores, *others, **kwargs)

    def new_boxes(self, instances: InstanceData, meta: dict) -> Tensor:
        """Boxes around which old knowledge is at risk: all, but no pasted old ones."""
        if meta.get('replayed') or not meta.get('rehearsed'):
            return instances.bboxes
        return instances.bboxes[instances.labels >= self.num_old_classes]

    def dense(
        self, features: Sequence[Tensor], maps: Sequence[Sequence[Tensor]]
    ) -> DenseOutputs:
        """Line up what the head puts out, prior after prior.

        Args:
            features: Of the neck, each level.
            maps: As :meth:`forward` returns them.
        """
        raise NotImplementedError

    def option(self, name: str, cfg: Mapping[str, Any] | None = None) -> float | None:
        """Value of one of the :data:`OPTIONS` of ``test_cfg``; None where it is off.

        Raises:
            ValueError: It is neither ``None`` nor ``dict(<key>=<number>)``.
        """
        settings = ((self.test_cfg if cfg is None else cfg) or {}).get(name)
        key, default, high = OPTIONS[name]
        if settings is None:
            return None
        if not isinstance(settings, Mapping) or set(settings) - {key}:
            raise ValueError(
                f'test_cfg.{name}={settings!r}: expected dict({key}={default}), or None'
            )
        value = settings.get(key, default)
        check_number(f'test_cfg.{name}.{key}', value, 0, high)
        return float(value)

    def competing(self, scores: Tensor, cfg: Mapping[str, Any] | None = None) -> Tensor:
        """Let the steps compete where ``test_cfg.competition`` says so.

        Args:
            scores: Class probabilities of priors, ``(..., C)``.
            cfg: Instead of ``test_cfg``.
        """
        power = self.option('competition', cfg)
        if power is None:
            return scores
        return compete(scores, self.step_sizes, power=power)

    def _predict_by_feat_single(
        self, cls_score_list: list[Tensor], *args: Any, **kwargs: Any
    ) -> InstanceData:
        cfg = kwargs.get('cfg')
        if self.option('competition', cfg) is not None:
            cls_score_list = [self._competing_map(one, cfg) for one in cls_score_list]
        return super()._predict_by_feat_single(cls_score_list, *args, **kwargs)

    def _competing_map(self, logits: Tensor, cfg: Mapping[str, Any] | None) -> Tensor:
        """Logits ``(C, H, W)`` whose scores have competed; mmdet takes the sigmoid."""
        scores = self.competing(logits.float().sigmoid().movedim(0, -1), cfg)
        # The first step's stay what they are, to the last bit.
        first = self.step_sizes[0]
        return torch.cat([logits[:first], scores.movedim(-1, 0)[first:].logit()])

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        found = super()._bbox_post_process(results, cfg, rescale, with_nms, img_meta)
        across = self.option('suppress_across', cfg)
        if across is None or not with_nms or not len(found):
            return found
        _, kept = batched_nms(
            found.bboxes,
            found.scores,
            found.labels,
            {'type': 'nms', 'iou_threshold': across},
            class_agnostic=True,
        )
        return found[kept]

    def _check_labels(self, instances: InstanceData, meta: dict) -> None:
        if not len(instances.labels):
            return
        low, high = (int(value) for value in instances.labels.aminmax())
        if meta.get('replayed') or meta.get('rehearsed'):
            if low < 0 or high >= self.num_classes:
                raise ValueError(
                    f'labels from {low} to {high} of a remembered image: expected '
                    f'known classes, 0 to {self.num_classes - 1}; remember images of '
                    'this stream'
                )
        elif low < self.num_old_classes or high >= self.num_classes:
            raise ValueError(
                f'labels from {low} to {high}: expected new classes, '
                f'{self.num_old_classes} to {self.num_classes - 1}, since old ones '
                'get no detection loss; set seen_classes and keep_classes of the '
                'dataset as a stream does'
            )


def _counted_from(first: int, instances: InstanceData) -> InstanceData:
    """The same boxes, with labels counted from a class on."""
    shifted = copy.copy(instances)
    shifted.labels = instances.labels - first
    return shifted
