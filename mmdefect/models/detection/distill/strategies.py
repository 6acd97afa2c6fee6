"""Strategies: the terms that make a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmdefect.models.detection.distill.context import PARTS, DistillContext
from mmdefect.models.detection.distill.cross_terms import CrossBoxes, CrossClasses
from mmdefect.models.detection.distill.terms import (
    DifficultFeatures,
    ElasticBoxes,
    FittingBoxes,
    OldLogits,
    ReleasedClasses,
    SoftQuality,
    Term,
)
from mmdefect.registry import MODELS

# On with its defaults, off, or on with these settings.
Switch = bool | Mapping[str, Any]


class Distillation(nn.Module):
    """Weighted sum of terms, the same at every batch size and number of processes.

    The releases sum some terms over the images of a batch, which makes the method
    depend on the batch size. Here these are means over the images of the global batch,
    times ``per_images``: with 2, the released sum at its two images a GPU.

    Args:
        terms: Terms by name. Term ``x`` becomes ``loss_dist_x``, and the mean number of
            priors that it compared ``priors_x`` in the log.
        per_images: See above; ``None`` sums over the batch as released.
    """

    def __init__(
        self, *, terms: Mapping[str, Term | None], per_images: int | None = 2
    ) -> None:
        super().__init__()
        on = {name: term for name, term in terms.items() if term is not None}
        self.terms: Any = nn.ModuleDict(on)
        self.per_images = per_images

    @property
    def reads(self) -> set[str]:
        """Outputs of the frozen model that are looked at.

        Who adds to a term or to :meth:`forward` may look at more than it says: then
        all, unless the new class says it, too.
        """
        own = type(self).forward is Distillation.forward
        return {
            part
            for term in self.terms.values()
            for part in (vars(type(term)).get('reads', PARTS) if own else PARTS)
        }

    def forward(self, context: DistillContext) -> dict[str, Tensor]:
        """Return the losses of a batch, each finite and connected to the student."""
        device = context.priors.device
        images = torch.tensor(float(context.num_images), device=device)
        images = reduce_mean(images)
        losses: dict[str, Tensor] = {}
        # Means, deviations and divergences need float32, whatever the network uses.
        with torch.autocast(device.type, enabled=False):
            for name, term in self.terms.items():
                values, sizes = term(context)
                factor = term.weight / images
                if term.summed:
                    share = 1 if self.per_images is None else self.per_images / images
                    factor = term.weight * share
                losses[f'loss_dist_{name}'] = factor * values.sum()
                losses[f'priors_{name}'] = sizes.float().mean()
        return losses


@MODELS.register_module()
class SelectiveDistillation(Distillation):
    """SD-IDD (Sensors 2026, 26(5):1413): three terms on three regions.

    Each argument but the last is ``True``, ``False`` or the settings of its term. The
    last four terms are off: three of them stand in the release only, one is ours.

    Args:
        classification: (a) high-confidence classification distillation,
            :class:`OldLogits`.
        regression: (b) dual-stage cascade regression distillation,
            :class:`FittingBoxes`.
        features: (c) difficulty-aware feature distillation,
            :class:`DifficultFeatures`.
        ring: Released: :class:`FittingBoxes` on LD's ring, divisor 16.
        elastic: Released: ERD's :class:`ElasticBoxes`.
        released_classes: Released: :class:`ReleasedClasses`.
        soft_quality: Ours: :class:`SoftQuality`.
        per_images: See :class:`Distillation`.
    """

    def __init__(
        self,
        *,
        classification: Switch = True,
        regression: Switch = True,
        features: Switch = True,
        ring: Switch = False,
        elastic: Switch = False,
        released_classes: Switch = False,
        soft_quality: Switch = False,
        per_images: int | None = 2,
    ) -> None:
        terms = {
            'cls': build_term(OldLogits, classification),
            'box': build_term(FittingBoxes, regression),
            'feat': build_term(DifficultFeatures, features),
            'ring': build_term(FittingBoxes, ring, region='ring', divisor=16.0),
            'elastic': build_term(ElasticBoxes, elastic),
            'kd': build_term(ReleasedClasses, released_classes),
            'quality': build_term(SoftQuality, soft_quality),
        }
        super().__init__(terms=terms, per_images=per_images)


@MODELS.register_module()
class ElasticDistillation(Distillation):
    """ERD (Feng et al., CVPR 2022): elastic selection for classes and for boxes.

    Args:
        classification: :class:`OldLogits` where the teacher is confident.
        regression: :class:`ElasticBoxes`.
        kwargs: As for :class:`Distillation`.
    """

    def __init__(
        self, *, classification: Switch = True, regression: Switch = True, **kwargs: Any
    ) -> None:
        terms = {
            'cls': build_term(OldLogits, classification),
            'elastic': build_term(ElasticBoxes, regression),
        }
        super().__init__(terms=terms, **kwargs)


@MODELS.register_module()
class QualityDistillation(Distillation):
    """Old scores by the loss that trained them, old boxes as ERD; not from a paper.

    Args:
        classification: :class:`SoftQuality` at all priors.
        regression: :class:`ElasticBoxes`.
        kwargs: As for :class:`Distillation`.
    """

    def __init__(
        self, *, classification: Switch = True, regression: Switch = True, **kwargs: Any
    ) -> None:
        terms = {
            'quality': build_term(SoftQuality, classification),
            'elastic': build_term(ElasticBoxes, regression),
        }
        super().__init__(terms=terms, **kwargs)


@MODELS.register_module()
class LogitDistillation(Distillation):
    """Learning without Forgetting (Li & Hoiem, TPAMI 2018) on a dense detector.

    Old-class logits at all priors, nothing else.

    Args:
        classification: :class:`OldLogits` on all priors.
        kwargs: As for :class:`Distillation`.
    """

    def __init__(self, *, classification: Switch = True, **kwargs: Any) -> None:
        term = build_term(OldLogits, classification, region='all')
        super().__init__(terms={'cls': term}, **kwargs)


@MODELS.register_module()
class CrossHeadDistillation(Distillation):
    """Old logits, and the student's features as the teacher's head sees them.

    The idea is FaCHD's (CVPR 2026), whose paper and code we have not read: frozen heads
    decode the student's features. What holds features is what they are for, in place
    of a difference of the features themselves. The student's own head sees none of
    that: ``classification`` holds its old rows.

    Args:
        classification: :class:`OldLogits` on all priors.
        classes: :class:`CrossClasses` of the teacher.
        boxes: :class:`CrossBoxes` of the teacher.
        expert_classes: :class:`CrossClasses` of ``model.expert``, a model that has
            learned the new classes and forgot the old.
        expert_boxes: :class:`CrossBoxes` of it.
        kwargs: As for :class:`Distillation`.
    """

    #: The detector gives the frozen heads the student's features.
    cross_heads = True

    def __init__(
        self,
        *,
        classification: Switch = True,
        classes: Switch = True,
        boxes: Switch = True,
        expert_classes: Switch = False,
        expert_boxes: Switch = False,
        **kwargs: Any,
    ) -> None:
        expert: Any = {'source': 'expert'}
        terms = {
            'cls': build_term(OldLogits, classification, region='all'),
            'cross_cls': build_term(CrossClasses, classes),
            'cross_box': build_term(CrossBoxes, boxes),
            'expert_cls': build_term(CrossClasses, expert_classes, **expert),
            'expert_box': build_term(CrossBoxes, expert_boxes, **expert),
        }
        super().__init__(terms=terms, **kwargs)


def build_term(cls: type[Term], switch: Switch, **defaults: Any) -> Term | None:
    """Build a term from ``True``, ``False`` or its settings.

    Raises:
        TypeError: ``switch`` is neither, or names a setting that the term lacks.
    """
    if switch is False or switch is None:
        return None
    if switch is not True and not isinstance(switch, Mapping):
        raise TypeError(
            f'{cls.__name__}={switch!r}: expected True, False or its settings as a dict'
        )
    return cls(**{**defaults, **({} if switch is True else switch)})
