"""Dense outputs of a teacher and a student that never existed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmdefect.models.detection.distill.context import DenseOutputs, DistillContext

STRIDES = (8, 16, 32)
BOXES = (
    ((8.3, 9.1, 40.2, 44.7), (50.4, 30.2, 90.1, 88.6)),
    ((20.6, 33.3, 61.9, 58.2),),
)


class Maps(NamedTuple):
    """What neck and head say of a batch: one map a level of each."""

    features: list[Tensor]
    classes: list[Tensor]
    boxes: list[Tensor]

    def map(self, change) -> Maps:
        return Maps(*([change(level) for level in part] for part in self))

    def dense(self) -> DenseOutputs:
        return DenseOutputs.from_head(self.features, self.classes, self.boxes)


def random_maps(images, classes, seed=0, size=(96, 96)) -> Maps:
    """Logits as a trained head has them: mostly background, some far above it."""
    generator = torch.Generator().manual_seed(seed)

    def levels(channels, spread, middle=0.0):
        shapes = [(images, channels, size[0] // s, size[1] // s) for s in STRIDES]
        return [
            middle + spread * torch.randn(shape, generator=generator)
            for shape in shapes
        ]

    return Maps(levels(8, 1.0), levels(classes, 1.5, -3.0), levels(68, 2.0))


def student_of(teacher: Maps, new, seed=1, gap=0.3) -> Maps:
    """The teacher's outputs with noise of size ``gap``, and ``new`` classes more."""
    images, _, height, width = teacher.classes[0].shape
    size = (height * STRIDES[0], width * STRIDES[0])
    noise = random_maps(images, teacher.classes[0].shape[1], seed, size)
    near = Maps(
        *(
            [ours + gap * other for ours, other in zip(*parts, strict=True)]
            for parts in zip(teacher, noise, strict=True)
        )
    )
    fresh = random_maps(images, new, seed + 1, size).classes
    classes = [torch.cat(pair, 1) for pair in zip(near.classes, fresh, strict=True)]
    leaves = near._replace(classes=classes)
    return leaves.map(lambda level: level.requires_grad_())


def prior_grid(size=(96, 96), dtype=torch.float32):
    """Priors of side 4 strides centred at multiples of the stride, as GFL's."""
    priors, strides = [], []
    for stride in STRIDES:
        rows = torch.arange(size[0] // stride, dtype=dtype) * stride
        columns = torch.arange(size[1] // stride, dtype=dtype) * stride
        y, x = torch.meshgrid(rows, columns, indexing='ij')
        centre = torch.stack([x, y], dim=2).reshape(-1, 2)
        priors.append(torch.cat([centre - 2 * stride, centre + 2 * stride], dim=1))
        strides.append(torch.full((len(centre),), stride, dtype=dtype))
    return torch.cat(priors), torch.cat(strides), tuple(map(len, priors))


def as_context(teacher: Maps, student: Maps, boxes, valid=None) -> DistillContext:
    images, _, height, width = teacher.classes[0].shape
    size = (height * STRIDES[0], width * STRIDES[0])
    priors, strides, sizes = prior_grid(size)
    assert len(boxes) == images
    if valid is None:
        valid = torch.ones(images, len(priors), dtype=torch.bool)
    return DistillContext(
        teacher=teacher.dense(),
        student=student.dense(),
        priors=priors,
        strides=strides,
        level_sizes=sizes,
        valid=valid,
        gt_boxes=tuple(torch.tensor(found).reshape(-1, 4) for found in boxes),
    )


def random_context(boxes=BOXES, old=3, new=2, seed=0, gap=0.3) -> DistillContext:
    """Two images with two and one new boxes."""
    teacher = random_maps(len(boxes), old, seed)
    return as_context(teacher, student_of(teacher, new, seed + 1, gap), boxes)
