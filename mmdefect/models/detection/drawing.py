"""Images that a detector is made to show, from what its features were like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdefect.functional.moments import (
    moment_distance,
    place_weights,
    region_moments,
)

# Takes the iteration, and how far the moments are.
Tell = Callable[[int, float], None]


@contextmanager
def recorded_moments(backbone: nn.Module, inside: Tensor) -> Iterator[list[Tensor]]:
    """Collect the moments of what enters each batch norm, ``(2, 2, C)`` a layer.

    Args:
        backbone: Of a detector.
        inside: Where boxes are; see :func:`mmdefect.functional.place_weights`.

    Raises:
        ValueError: The backbone has no batch norm.
    """
    layers = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        raise ValueError(
            f'stream.memory.drawn with the backbone {type(backbone).__name__}: '
            'expected one with batch norm, whose inputs tell what images look like; '
            'keep images instead'
        )
    found: list[Tensor] = []
    weights: dict[tuple[int, int], Tensor] = {}

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        height, width = args[0].shape[-2:]
        if (height, width) not in weights:
            weights[height, width] = place_weights(inside, (height, width))
        found.append(region_moments(args[0], weights[height, width]))

    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def where_boxes_are(
    boxes: Sequence[Tensor],
    padded: Tensor,
    shapes: Sequence[tuple[int, int]],
    others: Sequence[Tensor] | None = None,
) -> Tensor:
    """Return 1 within boxes, 0 outside, NaN where images are padded.

    Args:
        boxes: Of each image, ``(G, 4)`` in pixels.
        padded: The batch, ``(N, C, H, W)``.
        shapes: Height and width of each image.
        others: Boxes that are neither: NaN, but for what ``boxes`` cover.
    """
    marked = [(boxes, 1.0)]
    if others is not None:
        marked.insert(0, (others, torch.nan))
    inside = torch.full_like(padded[:, :1], torch.nan)
    for number, (image, (height, width)) in enumerate(zip(inside, shapes, strict=True)):
        image[:, :height, :width] = 0
        for found, value in marked:
            corners = found[number].round().int().clamp(min=0)
            for left, top, right, bottom in corners.tolist():
                image[:, top : min(bottom, height), left : min(right, width)] = value
    return inside


@dataclass
class Appearance:
    """What the features of the images of a class are like, over all that were seen.

    Attributes:
        images: How many were seen.
        layers: Of each, the sums over images of means, variances and squared means,
            ``(2, 3, C)``.
        counts: Of each, the images that have the region, ``(2, 1, 1)``.
    """

    images: int = 0
    layers: list[Tensor] = field(default_factory=list)
    counts: list[Tensor] = field(default_factory=list)

    @torch.no_grad()
    def see(
        self, model: Any, sample: dict[str, Any], boxes: Tensor, others: Tensor
    ) -> None:
        """Look at an image.

        Args:
            model: A detector in evaluation mode.
            sample: As a dataset gives it, in a batch of one.
            boxes: Of the class, ``(G, 4)``, in pixels of the image that the network
                sees.
            others: Boxes of other classes, and ignored ones.
        """
        data = model.data_preprocessor(sample, False)
        shape = data['data_samples'][0].img_shape[:2]
        inside = where_boxes_are([boxes], data['inputs'], [shape], [others])
        with recorded_moments(model.backbone, inside) as moments:
            model.backbone(data['inputs'])
        sums = [torch.cat([m, m[:, :1].square()], dim=1).double() for m in moments]
        counts = [(~m[:, :1, :1].isnan()).double() for m in moments]
        sums = [layer.nan_to_num(0) for layer in sums]
        if self.images:
            sums = [old + new for old, new in zip(self.layers, sums, strict=True)]
            counts = [old + new for old, new in zip(self.counts, counts, strict=True)]
        self.layers, self.counts = sums, counts
        self.images += 1

    @property
    def moments(self) -> list[Tensor]:
        """Of all images together, ``(2, 2, C)`` a layer; NaN of a region none has.

        The variance is that within images and that of their means.
        """
        found = []
        for layer, count in zip(self.layers, self.counts, strict=True):
            mean, variance, square = (layer / count).unbind(dim=1)
            between = (square - mean.square()).clamp(min=0)
            found.append(torch.stack([mean, variance + between], dim=1).float())
        return found


class Spectra(nn.Module):
    """Images by their spectra, so that a step changes the large and the small alike.

    Args:
        number: Of images.
        shape: Height and width, pixels.
        channels: 1 draws grey.
        seed: Of the noise that they start from.
    """

    def __init__(
        self, *, number: int, shape: tuple[int, int], channels: int, seed: int
    ) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.shape = shape
        rows, columns = torch.fft.fftfreq(shape[0]), torch.fft.rfftfreq(shape[1])
        waves = (rows[:, None].square() + columns.square()).sqrt()
        self.scale: Tensor
        self.register_buffer('scale', 1 / waves.clamp(min=1 / max(shape)))
        sizes = (number, channels, shape[0], len(columns), 2)
        self.spectra = nn.Parameter(0.02 * torch.randn(sizes, generator=draw))

    def forward(self) -> Tensor:
        """Return ``(N, channels, H, W)``, 0 to 255."""
        spectra = torch.view_as_complex(self.spectra) * self.scale
        return 255 * torch.fft.irfft2(spectra, s=self.shape, norm='ortho').sigmoid()


def draw_images(
    model: Any,
    moments: Sequence[Tensor],
    truths: Sequence[InstanceData],
    *,
    label: int,
    shape: tuple[int, int],
    channels: int = 3,
    iterations: int = 200,
    detection: float = 0.1,
    roughness: float = 1e-3,
    seed: int = 0,
    tell: Tell | None = None,
) -> Tensor:
    """Fit images to moments and, by the detector's own loss, to boxes.

    After DeepInversion (Yin et al., CVPR 2020), which IOR (arXiv 2406.04829) does for
    GFL; we have read neither's code. Moments within boxes and outside, and spectra in
    place of pixels, are ours.

    Args:
        model: A detector in evaluation mode; its parameters are left as they are.
        moments: Wanted, of each layer.
        truths: Boxes and labels to be found in each image.
        label: Of the class whose moments these are.
        shape: Height and width, pixels.
        channels: 1 draws grey.
        iterations: Of Adam.
        detection: Weight of the detector's losses beside the moments'.
        roughness: Weight of the total variation.
        seed: Of the noise that they start from.
        tell: Told now and then how far it is.

    Returns:
        Shape ``(N, channels, H, W)``, 0 to 255.
    """
    device = next(model.parameters()).device
    drawn = Spectra(number=len(truths), shape=shape, channels=channels, seed=seed)
    drawn.to(device)
    optimizer = torch.optim.Adam(drawn.parameters(), lr=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    meta = {'img_shape': shape, 'scale_factor': (1.0, 1.0)}
    own = [one.bboxes[one.labels == label] for one in truths]
    others = [one.bboxes[one.labels != label] for one in truths]
    samples = [DetDataSample(gt_instances=one, metainfo=meta) for one in truths]
    for iteration in range(iterations):
        images = drawn()
        data = model.data_preprocessor(
            {
                'inputs': list(images.expand(-1, 3, -1, -1)),
                'data_samples': [one.clone() for one in samples],
            },
            False,
        )
        inside = where_boxes_are(own, data['inputs'], [shape] * len(truths), others)
        with recorded_moments(model.backbone, inside) as found:
            losses = model.loss(data['inputs'], data['data_samples'])
        off = moment_distance(found, moments)
        shown, _ = model.parse_losses(losses)
        rough = images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()
        loss = off + detection * shown + roughness * rough
        optimizer.zero_grad()
        # To the images alone, whatever else could learn.
        loss.backward(inputs=list(drawn.parameters()))
        optimizer.step()
        decay.step()
        if tell is not None:
            tell(iteration, off.item())
    return drawn().detach()
