"""Weights of torchvision, timm, DINO, DINOv2 and LUNA under mmpretrain's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmdefect.converters.weight_layouts import (
    BACKBONES,
    ENCODERS,
    IN_ORDER,
    LAYOUTS,
    SOURCES,
    UNUSED,
    head_part,
    rename,
)
from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_choice
from mmdefect.utils.normalisation import CAFFE, IMAGENET

ARCHS = tuple(LAYOUTS)
COUNTER = 'num_batches_tracked'
# A head of the study: defective and ok.
CLASSES = 2


@dataclass(frozen=True)
class Converted:
    """Weights of a classifier under mmpretrain's names.

    Attributes:
        backbone: Weights of the backbone, all of them.
        head: ``weight`` and ``bias`` of a head of two classes, or nothing.
        note: What was left out and why, None if nothing was.
    """

    backbone: dict[str, Tensor]
    head: dict[str, Tensor]
    note: str | None

    def state_dict(self) -> dict[str, Tensor]:
        """Weights of an ``ImageClassifier`` with a ``DefectClsHead``.

        With a head they are all of them: its temperature and threshold are those of a
        head that was not calibrated.
        """
        named = {f'backbone.{name}': value for name, value in self.backbone.items()}
        if not self.head:
            return named
        calibration = {'temperature': torch.tensor(1.0), 'threshold': torch.tensor(0.5)}
        head = {f'fc.{name}': value for name, value in self.head.items()} | calibration
        return named | {f'head.{name}': value for name, value in head.items()}


def convert(state: Mapping[str, Tensor], arch: str) -> Converted:
    """Rename the weights of one of the classifiers and encoders.

    The results of both networks agree to 1e-5; EfficientNetV2 needs
    :class:`~mmdefect.models.classification.padding.HalfPaddedConv2d` for that.

    Args:
        state: A state dict of the source, see
            :data:`~mmdefect.converters.weight_layouts.SOURCES`.
        arch: One of :data:`ARCHS`.

    Raises:
        ValueError: An unknown architecture, or weights of another one.
    """
    check_choice('arch', arch, ARCHS)
    expected = expected_weights(arch)
    if arch in IN_ORDER:
        renamed, head = in_order(state, expected)
    else:
        renamed, head = by_name(state, arch)
    if arch in ENCODERS:
        head = {}
    for name, value in expected.items():
        # Files of before torch 0.4.1 have no counters, and nothing uses them.
        if name.endswith(COUNTER):
            renamed.setdefault(name, torch.zeros_like(value))
    _check(renamed, expected, arch)
    note = _note(head)
    backbone = {name: renamed[name] for name in expected}
    return Converted(backbone, {} if note else head, note)


def expected_weights(arch: str) -> dict[str, Tensor]:
    """Weights of mmpretrain's backbone, as it is initialised."""
    backbone: Any = MODELS.build(dict(BACKBONES[arch]))
    return backbone.state_dict()


def by_name(
    state: Mapping[str, Tensor], arch: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Rename by the rules of a layout, and reorder what is stored in another order.

    Returns:
        The weights of the backbone, and ``weight`` and ``bias`` of the head.
    """
    backbone, head = {}, {}
    unused = UNUSED.get(arch, ())
    for name, value in state.items():
        if name in unused:
            continue
        part = head_part(name, arch)
        if part is not None:
            head[part] = value
        else:
            backbone[rename(name, arch)] = value
    reordered = {n: _same_values(n, value, arch) for n, value in backbone.items()}
    return reordered, head


def in_order(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Name tensors by their position; counters do not count, the last two are a head.

    What is too many keeps its name. Returns the same as :func:`by_name`.
    """
    theirs = [item for item in state.items() if not item[0].endswith(COUNTER)]
    body, last = theirs[:-2], theirs[-2:]
    ours = [name for name in expected if not name.endswith(COUNTER)]
    named = dict(zip(ours, (value for _, value in body), strict=False))
    head = dict(zip(('weight', 'bias'), (value for _, value in last), strict=False))
    return named | dict(body[len(ours) :]), head


def merging_order(values: Tensor) -> Tensor:
    """Reorder the last axis of a Swin patch merging, ``4 C`` values of four pixels.

    torchvision stacks the pixels in the order of columns, (0, 0), (1, 0), (0, 1), (1,
    1), with ``C`` channels each; mmpretrain's ``Unfold`` keeps the four pixels of a
    channel together, row by row.
    """
    # column, row, channel -> channel, row, column
    blocks = values.unflatten(-1, (2, 2, -1))
    return blocks.transpose(-1, -3).flatten(-3)


def for_rgb(backbone: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn weights of a ResNet for Caffe's images into those for ImageNet's in RGB.

    The first convolution takes the deviations and the order of the channels, the batch
    norm behind it the means. Exact but at the border, where a padded zero is another
    grey level: by up to half a level.

    Args:
        backbone: ``conv1.weight``, ``bn1.running_mean`` and others, which stay.
    """
    mean, std = torch.tensor(IMAGENET.mean), torch.tensor(IMAGENET.std)
    shift = mean - torch.tensor(CAFFE.mean).flip(0)
    kernel = backbone['conv1.weight'].flip(1)
    constant = (kernel.sum((2, 3)) * shift).sum(1)
    return {
        **backbone,
        'conv1.weight': kernel * std.view(1, 3, 1, 1),
        'bn1.running_mean': backbone['bn1.running_mean'] - constant,
    }


def _same_values(name: str, value: Tensor, arch: str) -> Tensor:
    """Bring one weight into the shape and order in which mmpretrain keeps it."""
    part = name.rpartition('.')[2]
    if arch == 'convnext_tiny' and part == 'gamma':
        return value.flatten()
    if arch == 'swin_tiny' and part == 'relative_position_index':
        side = round(value.numel() ** 0.5)
        return value.reshape(side, -1)
    if arch == 'swin_tiny' and '.downsample.' in name and value.shape[-1] % 4 == 0:
        return merging_order(value)
    return value


def _note(head: Mapping[str, Tensor]) -> str | None:
    """Why a head is left out, None if it is taken or there is none."""
    if not head:
        return None
    if set(head) != {'weight', 'bias'}:
        found = f'which has only a {" and a ".join(head)}'
    elif len(head['weight']) != CLASSES:
        found = (
            f'which has {len(head["weight"])} classes where this study has {CLASSES}'
        )
    else:
        return None
    return f'Left out the head, {found}: head.fc will start from random numbers.'


def _check(
    renamed: Mapping[str, Tensor], expected: Mapping[str, Tensor], arch: str
) -> None:
    """Refuse anything but exactly the weights of the backbone."""
    missing = [name for name in expected if name not in renamed]
    foreign = [name for name in renamed if name not in expected]
    shapes = [
        f'{name} {tuple(value.shape)} instead of {tuple(expected[name].shape)}'
        for name, value in renamed.items()
        if name in expected and value.shape != expected[name].shape
    ]
    reasons = [
        f'{len(names)} of {len(expected)} weights {what}, such as {names[0]}'
        for names, what in (
            (missing, 'are missing'),
            (shapes, 'have another shape'),
            (foreign, 'do not belong to it'),
        )
        if names
    ]
    if reasons:
        raise ValueError(
            f'these are not the weights of {arch}: {"; ".join(reasons)}; give a '
            f'state_dict of {SOURCES[arch]}'
        )
