"""Teacher, student and ground truth of a batch, as distillation sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmdefect.functional.boxes import centres, decode_distribution
from mmdefect.functional.regions import (
    Region,
    confident,
    difficult,
    ring,
    statistical,
)


@dataclass(frozen=True, kw_only=True)
class DenseOutputs:
    """Outputs of a detector at every prior of ``N`` images, before any selection.

    Attributes:
        classes: Class logits, shape ``(N, A, C)``.
        boxes: Logits of the side distributions, shape ``(N, A, 4, bins)``; of a head
            without distributions the boxes, ``(N, A, 4)`` in pixels.
        features: Neck outputs of each level, shape ``(N, channels, H, W)``.
    """

    classes: Tensor
    boxes: Tensor
    features: tuple[Tensor, ...]

    @property
    def has_distributions(self) -> bool:
        """Whether boxes are logits of distributions, not boxes."""
        return self.boxes.ndim == 4

    @classmethod
    def from_head(
        cls,
        features: Sequence[Tensor],
        class_maps: Sequence[Tensor],
        box_maps: Sequence[Tensor],
    ) -> DenseOutputs:
        """Line up the maps of a GFL head, level after level, in float32."""
        boxes = flat(box_maps)
        return cls(
            classes=flat(class_maps),
            boxes=boxes.unflatten(2, (4, boxes.shape[2] // 4)),
            features=tuple(features),
        )


#: Names of all outputs.
PARTS = tuple(part.name for part in fields(DenseOutputs))


def flat(maps: Sequence[Tensor]) -> Tensor:
    """``(N, C, H, W)`` of each level to ``(N, A, C)``."""
    return torch.cat([m.flatten(2).transpose(1, 2).float() for m in maps], dim=1)


@dataclass(frozen=True, kw_only=True)
class DistillContext:
    """Teacher, student and ground truth of one batch.

    Attributes:
        teacher: Outputs of the frozen teacher, ``C_old`` classes.
        student: Outputs of the student, ``C_old + C_new`` classes, the old first.
        priors: Shape ``(A, 4)``, pixels, level after level.
        strides: Pixels per location of each prior, shape ``(A,)``.
        level_sizes: Priors of each level.
        valid: Which priors lie inside the image, not its padding, ``(N, A)``.
        gt_boxes: Boxes of the new classes, ``(G, 4)`` an image; of a remembered image,
            of all classes.
        expert: Outputs of a frozen expert, with classes as the student.
        cross: What the head of the 'teacher', of the 'expert', makes of the student's
            features; gradients pass through it. Empty unless the strategy asks for it.
    """

    teacher: DenseOutputs
    student: DenseOutputs
    priors: Tensor
    strides: Tensor
    level_sizes: tuple[int, ...]
    valid: Tensor
    gt_boxes: tuple[Tensor, ...]
    expert: DenseOutputs | None = None
    cross: Mapping[str, DenseOutputs] = field(default_factory=dict)
    _regions: dict[int, Region] = field(default_factory=dict, init=False, repr=False)

    @property
    def num_images(self) -> int:
        """``N``."""
        return len(self.gt_boxes)

    @property
    def num_old(self) -> int:
        """``C_old``."""
        return self.teacher.classes.shape[2]

    @property
    def student_old(self) -> Tensor:
        """Student's logits of the teacher's classes, shape ``(N, A, C_old)``."""
        return self.student.classes[..., : self.num_old]

    @property
    def student_new(self) -> Tensor:
        """Student's logits of the new classes, shape ``(N, A, C_new)``."""
        return self.student.classes[..., self.num_old :]

    @cached_property
    def points(self) -> Tensor:
        """Centres of the priors, shape ``(A, 2)``."""
        return centres(self.priors)

    @cached_property
    def teacher_scores(self) -> Tensor:
        """Teacher's probabilities, shape ``(N, A, C_old)``."""
        return self.teacher.classes.sigmoid()

    @cached_property
    def teacher_strength(self) -> Tensor:
        """By what the teacher's boxes stand out, shape ``(N, A)``.

        The largest logit of its distributions; without any, its best score.
        """
        if self.teacher.has_distributions:
            return self.teacher.boxes.flatten(2).amax(dim=2)
        return self.teacher_scores.amax(dim=2)

    def teacher_boxes(
        self, image: Tensor | int, prior: Tensor, *, strided: bool = True
    ) -> Tensor:
        """Boxes of the teacher at ``P`` chosen priors, ``(P, 4)``, pixels.

        Args:
            image: Of each prior, or of all.
            prior: Its index.
            strided: False takes sides in strides for pixels, as released code does.
        """
        chosen = self.teacher.boxes[image, prior]
        if not self.teacher.has_distributions:
            return chosen
        strides = self.strides[prior]
        return decode_distribution(
            chosen, self.points[prior], strides if strided else torch.ones_like(strides)
        )

    def valid_of(self, image: int) -> Tensor | None:
        """Valid priors of an image, ``None`` when all are: most batches pad nothing."""
        return None if self._unpadded[image] else self.valid[image]

    @cached_property
    def _unpadded(self) -> list[bool]:
        return self.valid.all(dim=1).tolist()

    def fitting(self, topk: int = 9) -> Region:
        """SD-IDD's region BR of every image, ``(N, A)``; computed once."""
        if topk not in self._regions:
            found = self._of_images(statistical, self.level_sizes, topk=topk)
            self._regions[topk] = _stacked([region for region, _ in found])
        return self._regions[topk]

    def ring(self, topk: int = 9) -> Region:
        """LD's ring just below region BR, of every image, ``(N, A)``."""
        return _stacked(self._of_images(ring, self.level_sizes, topk=topk))

    def difficult(self, ratio: float = 0.5) -> Tensor:
        """SD-IDD's region FR of every image, ``(N, A)``."""
        return torch.stack(self._of_images(difficult, ratio=ratio))

    def _of_images(self, region: Callable, *args: Any, **kwargs: Any) -> list[Any]:
        return [
            region(self.priors, boxes, *args, valid=self.valid_of(image), **kwargs)
            for image, boxes in enumerate(self.gt_boxes)
        ]

    def confident(self, scores: Tensor, num_std: float = 2.0) -> Tensor:
        """Priors whose score stands out in their image, ``(N, A)`` like ``scores``."""
        return torch.stack(
            [
                confident(row, num_std=num_std, valid=self.valid_of(image))
                for image, row in enumerate(scores)
            ]
        )


def _stacked(regions: Sequence[Region]) -> Region:
    return Region(*(torch.stack(part) for part in zip(*regions, strict=True)))
