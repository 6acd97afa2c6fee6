"""Distillation terms: where teacher and student are compared, how, and how much.

A term maps a context to one value an image, shape ``(N,)``, and tells how many priors
it looked at. Its ``weight`` is the published one. Where a term compares box
distributions, :func:`box_gap` says what becomes of it with a head that has none.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from mmcv.ops import batched_nms
from torch import Tensor, nn

from mmdefect.functional.boxes import aligned_giou, aligned_iou
from mmdefect.functional.distillation import distribution_kl, quality_focal
from mmdefect.functional.regions import Region
from mmdefect.models.detection.distill.context import (
    PARTS,
    DenseOutputs,
    DistillContext,
)
from mmdefect.utils.checks import check_choice, check_range


class Term(nn.Module):
    """One term of a distillation loss.

    Args:
        weight: Factor of the published total.

    Attributes:
        summed: The releases sum this term over the images of a batch; otherwise it is a
            mean over them.
        reads: Outputs of the frozen model that it looks at, names of
            :class:`~mmdefect.models.detection.distill.context.DenseOutputs`.
    """

    summed = True
    reads: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, *, weight: float) -> None:
        super().__init__()
        check_range(f'{type(self).__name__}.weight', weight, 0)
        self.weight = weight

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Return each image's value, ``(N,)``, and its number of priors, ``(N,)``."""
        raise NotImplementedError


class OldLogits(Term):
    """Squared difference of the old classes' logits.

    SD-IDD's high-confidence classification distillation (a), and ERD's: the mean over
    the priors where the teacher is confident and over the old classes. On all priors it
    is the detection form of Learning without Forgetting (Li & Hoiem, TPAMI 2018).

    Args:
        weight: Factor of the term.
        region: ``'confident'`` or ``'all'``.
        num_std: A teacher is confident above mean + this many standard deviations.
    """

    reads: ClassVar[tuple[str, ...]] = ('classes',)

    def __init__(
        self,
        *,
        weight: float = 1.0,
        region: Literal['confident', 'all'] = 'confident',
        num_std: float = 2.0,
    ) -> None:
        super().__init__(weight=weight)
        check_choice('region', region, ('confident', 'all'))
        self.region = region
        self.num_std = num_std

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare the logits; see :meth:`Term.forward`."""
        mask = context.valid
        if self.region == 'confident':
            scores = context.teacher_scores.amax(dim=2)
            mask = context.confident(scores, self.num_std)
        gap = (context.student_old - context.teacher.classes).square().mean(dim=2)
        return _masked_mean(gap, mask), mask.sum(dim=1)


class FittingBoxes(Term):
    """KL divergence of the box distributions on priors around the new boxes.

    SD-IDD's dual-stage cascade regression distillation (b) with IoU-weighted KL, and
    the terms that its release has in its place (LD, Zheng et al., CVPR 2022).

    Args:
        weight: Factor of the term.
        temperature: Softens both distributions.
        region: ``'fitting'`` (region BR) or ``'ring'`` (LD's ring below its threshold).
        topk: Candidates a level.
        br_weight: What weighs a prior: its IoU with the new box, the IoU of the
            teacher's box there, or the student's best new-class score (as released).
        norm: ``'sum'`` over priors as released, or divided by the ``'weight_sum'``.
        divisor: The sum over the four sides is divided by it; 16 for the ring.
    """

    def __init__(
        self,
        *,
        weight: float = 0.25,
        temperature: float = 10.0,
        region: Literal['fitting', 'ring'] = 'fitting',
        topk: int = 9,
        br_weight: Literal['prior_iou', 'teacher_iou', 'student_score'] = 'prior_iou',
        norm: Literal['sum', 'weight_sum'] = 'sum',
        divisor: float = 4.0,
    ) -> None:
        super().__init__(weight=weight)
        check_choice('region', region, ('fitting', 'ring'))
        choices = ('prior_iou', 'teacher_iou', 'student_score')
        check_choice('br_weight', br_weight, choices)
        check_choice('norm', norm, ('sum', 'weight_sum'))
        self.temperature = temperature
        self.region = region
        self.topk = topk
        self.br_weight = br_weight
        self.norm = norm
        self.divisor = divisor

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare the boxes; see :meth:`Term.forward`."""
        fits = self.region == 'fitting'
        region = context.fitting(self.topk) if fits else context.ring(self.topk)
        image, prior = region.mask.nonzero(as_tuple=True)
        weights = self._weights(context, region, image, prior)
        kl = _box_gap(context, image, prior, self.temperature)
        totals = _per_image(context, image, weights * kl / self.divisor)
        if self.norm == 'weight_sum':
            totals = totals / _per_image(context, image, weights).clamp(min=1e-6)
        return totals, region.mask.sum(dim=1)

    def _weights(
        self, context: DistillContext, region: Region, image: Tensor, prior: Tensor
    ) -> Tensor:
        if self.br_weight == 'prior_iou':
            return region.iou[image, prior]
        if self.br_weight == 'student_score':
            return context.student_new.detach()[image, prior].sigmoid().amax(dim=1)
        decoded = context.teacher_boxes(image, prior)
        first = torch.tensor([0, *map(len, context.gt_boxes)]).cumsum(0).to(image)
        owner = torch.cat(context.gt_boxes)[first[image] + region.owner[image, prior]]
        return aligned_iou(decoded, owner)


class DifficultFeatures(Term):
    """Squared difference of the neck's features around the new boxes.

    SD-IDD's IoU-driven difficulty-aware feature distillation (c): the mean over region
    FR and all channels, level by level, summed over the levels.

    Args:
        weight: Factor of the term.
        ratio: A location belongs to a box above this share of the box's best IoU.
        released: As the release computes it: one mean over the batch, and none at a
            level where no prior fits a box (its levels overwrite each other).
    """

    summed = False

    def __init__(
        self, *, weight: float = 2.0, ratio: float = 0.5, released: bool = False
    ) -> None:
        super().__init__(weight=weight)
        self.ratio = ratio
        self.released = released

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare the features; see :meth:`Term.forward`."""
        mask = context.difficult(self.ratio)
        if self.released:
            mask = mask & self._levels_with_a_fit(context)
        pairs = zip(context.teacher.features, context.student.features, strict=True)
        total = mask.new_zeros(len(mask), dtype=torch.float32)
        levels = mask.split(context.level_sizes, dim=1)
        for (theirs, ours), here in zip(pairs, levels, strict=True):
            gap = (ours.float() - theirs.float()).square().mean(dim=1).flatten(1)
            pooled = (gap * here).sum() / here.sum().clamp(min=1)
            total = total + (pooled if self.released else _masked_mean(gap, here))
        return total, mask.sum(dim=1)

    @staticmethod
    def _levels_with_a_fit(context: DistillContext) -> Tensor:
        """Priors of the levels where any prior fits a box, ``(A,)``."""
        fits = context.fitting().mask.any(dim=0).split(context.level_sizes)
        return torch.cat([level.any().expand(len(level)) for level in fits])


class ElasticBoxes(Term):
    """KL divergence of the box distributions where the teacher's boxes stand out.

    ERD's elastic regression distillation (Feng et al., CVPR 2022): priors whose largest
    raw box logit is above mean + ``num_std`` deviations, thinned by class-wise NMS,
    weighted by the student's best old-class score, summed.

    Args:
        weight: Factor of the term.
        temperature: Softens both distributions.
        num_std: Standard deviations above the mean.
        nms_iou: Threshold of the NMS.
        released: Decode as both releases do, sides in strides around centres in pixels,
            so that NMS suppresses almost nothing on coarse levels.
    """

    def __init__(
        self,
        *,
        weight: float = 0.25,
        temperature: float = 10.0,
        num_std: float = 2.0,
        nms_iou: float = 0.005,
        released: bool = False,
    ) -> None:
        super().__init__(weight=weight)
        self.temperature = temperature
        self.num_std = num_std
        self.nms_iou = nms_iou
        self.released = released

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare the boxes; see :meth:`Term.forward`."""
        mask = context.confident(context.teacher_strength, self.num_std)
        chosen = [self._thinned(context, i, m) for i, m in enumerate(mask)]
        prior = torch.cat(chosen)
        sizes = torch.tensor([len(part) for part in chosen], device=prior.device)
        image = torch.arange(len(chosen), device=prior.device).repeat_interleave(sizes)
        scores = context.student_old.detach()[image, prior].sigmoid().amax(dim=1)
        kl = _box_gap(context, image, prior, self.temperature)
        return _per_image(context, image, scores * kl / 4), sizes

    def _thinned(self, context: DistillContext, image: int, mask: Tensor) -> Tensor:
        """Priors that class-wise NMS leaves of the mask."""
        prior = mask.nonzero().squeeze(1)
        if not len(prior):
            return prior
        boxes = context.teacher_boxes(image, prior, strided=not self.released)
        scores, classes = context.teacher_scores[image, prior].max(dim=1)
        # mmcv keeps classes apart by offsets that assume coordinates from 0 on.
        boxes = boxes - boxes.amin()
        nms = {'type': 'nms', 'iou_threshold': self.nms_iou}
        _, kept = batched_nms(boxes, scores, classes, nms)
        return prior[kept]


class ReleasedClasses(Term):
    """KL divergence between the student's NEW and the teacher's OLD class logits.

    ``loss_kd`` of SD-IDD's release, on the priors that fit new boxes. It compares
    unrelated classes and needs equally many of both; it is here to measure the release,
    not to be used.
    """

    summed = False

    def __init__(self, *, weight: float = 0.25, temperature: float = 2.0) -> None:
        super().__init__(weight=weight)
        self.temperature = temperature

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare the logits; see :meth:`Term.forward`."""
        new = context.student_new.shape[2]
        if new != context.num_old:
            raise ValueError(
                f'released_classes=True: expected as many new classes as old, not '
                f'{new} and {context.num_old}; set released_classes=False'
            )
        kl = distribution_kl(
            context.teacher.classes, context.student_new, temperature=self.temperature
        )
        mask = context.fitting().mask
        return _masked_mean(kl, mask), mask.sum(dim=1)


class SoftQuality(Term):
    """Quality focal loss of the old classes towards the teacher's scores, everywhere.

    Not in the papers. A GFL score means IoU quality, so the teacher's is a soft target
    of the very loss that trained it; unlike (a), it also tells the old channels what is
    background. Normalised by the sum of the teacher's scores, as QFL by the positives.

    Args:
        weight: Factor of the term.
        beta: Exponent of QFL's modulating factor.
        floor: Least divisor, for images where the teacher sees nothing.
    """

    summed = False

    def __init__(
        self, *, weight: float = 1.0, beta: float = 2.0, floor: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        self.beta = beta
        self.floor = floor

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare the scores; see :meth:`Term.forward`."""
        quality = context.teacher_scores
        focal = quality_focal(context.student_old, quality, beta=self.beta).sum(dim=2)
        best = quality.amax(dim=2) * context.valid
        total = (focal * context.valid).sum(dim=1)
        return total / best.sum(dim=1).clamp(min=self.floor), context.valid.sum(dim=1)


def _box_gap(
    context: DistillContext, image: Tensor, prior: Tensor, temperature: float
) -> Tensor:
    pair = context.teacher, context.student
    return box_gap(*pair, image, prior, temperature=temperature)


def box_gap(
    theirs: DenseOutputs, ours: DenseOutputs, *chosen: Tensor, temperature: float
) -> Tensor:
    """How far boxes are apart, the four sides together.

    The KL divergence of the distributions, summed over the sides. Of a head without
    distributions, such as ATSS's, 1 - GIoU (Rezatofighi et al., CVPR 2019) of the two
    boxes for each of the four sides; there is no temperature then.

    Args:
        theirs: The teacher.
        ours: The student.
        chosen: Image and index of ``P`` priors; all ``(N, A)`` by default.
        temperature: Softens both distributions.

    Returns:
        Shape ``(P,)`` or ``(N, A)``.
    """
    one, other = theirs.boxes[chosen], ours.boxes[chosen]
    if not theirs.has_distributions:
        return 4 * (1 - aligned_giou(one, other))
    return distribution_kl(one, other, temperature=temperature).sum(dim=-1)


def _per_image(context: DistillContext, image: Tensor, values: Tensor) -> Tensor:
    """Sum values, one a chosen prior, over each image, shape ``(N,)``."""
    zeros = values.new_zeros(context.num_images)
    return zeros.index_add(0, image, values)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masked priors of each image; a connected 0 where there are none."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
