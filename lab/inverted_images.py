"""An attempt at keeping nothing: images that the detector of a step is made to show.

At the end of a step the mean and deviation of each channel of its backbone are noted,
of each class within its boxes and outside, and the boxes of some images. From noise,
images are then fitted to these moments and, by the detector's own loss, to the boxes
(after Yin et al., DeepInversion, CVPR 2020; IOR, arXiv 2406.04829, does so for GFL; we
have read neither's code). They are written as a memory, for ``memory.start_from``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.modules.batchnorm import _BatchNorm

from mmdefect.datasets.boxes.memory_file import Memory, Remembered, write_memory
from mmdefect.registry import MODELS
from mmdefect.utils.checkpoint import load_weights, state_dict_of

# Mean and mean square of each channel, a layer at a time.
Moments = list[Tensor]


@contextmanager
def moments_of(backbone: nn.Module, inside: Tensor) -> Iterator[Moments]:
    """Collect ``(2, 2, channels)`` of what enters each batch norm, call after call.

    Mean and variance, within the boxes and outside.

    Args:
        backbone: Of a detector.
        inside: 1 within boxes, else 0, ``(N, 1, H, W)`` of the padded images; NaN
            where they are padded.
    """
    found: Moments = []
    cached: dict[torch.Size, list[Tensor]] = {}

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        size = args[0].shape[-2:]
        if size not in cached:
            small = interpolate(inside, size=size, mode='area')
            known = ~small.isnan()
            cached[size] = [
                part.nan_to_num() / part.nansum().clamp(min=1e-6)
                for part in (small * known, (1 - small) * known)
            ]
        parts = []
        for weight in cached[size]:
            mean = (args[0] * weight).sum((0, 2, 3))
            square = (args[0].square() * weight).sum((0, 2, 3))
            parts.append(torch.stack([mean, (square - mean.square()).clamp(min=0)]))
        found.append(torch.stack(parts))

    layers = [m for m in backbone.modules() if isinstance(m, _BatchNorm)]
    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def within_boxes(boxes: Sequence[InstanceData], like: Tensor, size: int) -> Tensor:
    """Return where boxes are, as :func:`moments_of` takes it."""
    inside = torch.full_like(like[:, :1], torch.nan)
    inside[..., :size, :size] = 0
    for image, one in zip(inside, boxes, strict=True):
        for left, top, right, bottom in one.bboxes.round().int().tolist():
            image[:, top : min(bottom, size), left : min(right, size)] = 1
    return inside


@torch.no_grad()
def class_moments(
    model: Any, samples: Sequence[dict[str, Any]], size: int
) -> tuple[Moments, list[InstanceData]]:
    """Return the moments over all images, and the boxes of each.

    The variance is that over all images: within them, and of their means.
    """
    boxes, seen = [], []
    for sample in samples:
        data = model.data_preprocessor(sample, True)
        boxes.append(data['data_samples'][0].gt_instances)
        inside = within_boxes(boxes[-1:], data['inputs'], size)
        with moments_of(model.backbone, inside) as moments:
            model.extract_feat(data['inputs'])
        seen.append(moments)
    layers = [torch.stack(layer) for layer in zip(*seen, strict=True)]
    wanted = []
    for layer in layers:
        mean, within = layer.mean(dim=0).unbind(dim=1)
        between = layer[:, :, 0].var(dim=0, unbiased=False)
        wanted.append(torch.stack([mean, within + between], dim=1))
    return wanted, boxes


def distance(found: Moments, wanted: Moments) -> Tensor:
    """How far moments are: means in deviations, and deviations as ratios."""
    total = found[0].new_zeros(())
    for ours, theirs in zip(found, wanted, strict=True):
        mean, spread = theirs[:, 0], theirs[:, 1].clamp(min=1e-6)
        total = total + ((ours[:, 0] - mean).square() / spread).mean()
        ratio = ours[:, 1].clamp(min=1e-6) / spread
        total = total + ratio.log().square().mean() / 4
    return total / len(found)


class Spectra(nn.Module):
    """Grey images by their spectra, so that a step changes large and small alike.

    Args:
        number: Of images.
        size: Width and height, pixels.
        seed: Of the noise that they start from.
    """

    def __init__(self, number: int, size: int, seed: int) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        rows, columns = torch.fft.fftfreq(size), torch.fft.rfftfreq(size)
        waves = (rows[:, None].square() + columns.square()).sqrt()
        self.scale: Tensor
        self.register_buffer('scale', 1 / waves.clamp(min=1 / size))
        shape = (number, size, len(columns), 2)
        self.spectra = nn.Parameter(0.02 * torch.randn(shape, generator=draw))
        self.size = size

    def forward(self) -> Tensor:
        """Return ``(N, 1, H, W)``, 0 to 255."""
        spectra = torch.view_as_complex(self.spectra) * self.scale
        images = torch.fft.irfft2(spectra, s=(self.size, self.size), norm='ortho')
        return 255 * images[:, None].sigmoid()


def invert(
    model: Any,
    moments: Moments,
    boxes: Sequence[InstanceData],
    *,
    size: int,
    steps: int,
    detection: float = 0.1,
    smooth: float = 1e-3,
    seed: int = 0,
) -> tuple[Tensor, float]:
    """Fit grey images ``(N, H, W)``, 0 to 255, to moments and boxes.

    Args:
        model: Frozen, in evaluation mode.
        moments: Of the class.
        boxes: What is to be found in each image.
        size: Width and height, pixels.
        steps: Of Adam.
        detection: Weight of the detector's loss beside the moments'.
        smooth: Weight of the total variation.
        seed: Of the noise.
    """
    drawn = Spectra(len(boxes), size, seed)
    optimizer = torch.optim.Adam(drawn.parameters(), lr=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    meta = {'img_shape': (size, size), 'scale_factor': (1.0, 1.0)}
    truth = [DetDataSample(gt_instances=one, metainfo=meta) for one in boxes]
    inside = None
    for step in range(steps):
        images = drawn()
        data = model.data_preprocessor(
            {
                'inputs': list(images.expand(-1, 3, -1, -1)),
                'data_samples': [one.clone() for one in truth],
            },
            True,
        )
        if inside is None:
            inside = within_boxes(boxes, data['inputs'], size)
        with moments_of(model.backbone, inside) as found:
            losses = model.loss(data['inputs'], data['data_samples'])
        off = distance(found[: len(moments)], moments)
        shown = sum(sum(v) for k, v in losses.items() if k.startswith('loss_'))
        rough = images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()
        loss = off + detection * shown + smooth * rough
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 50 == 0 or step == steps - 1:
            print(f'{step}: moments {off:.3f}, boxes {shown:.3f}', flush=True)
    return images[:, 0].detach(), off.item()


def remembered(
    image: Tensor, boxes: InstanceData, *, name: str, classes: Sequence[str], at: int
) -> tuple[Remembered, bytes]:
    """Put an image into the words of a memory."""
    height, width = image.shape
    png = cv2.imencode('.png', image.round().byte().numpy().astype(np.uint8))[1]
    marked = [
        {'bbox': [float(v) for v in box], 'class': classes[int(label)], 'ignore': 0}
        for box, label in zip(boxes.bboxes, boxes.labels, strict=True)
    ]
    about = Remembered(
        kept_for=name,
        step=0,
        source=f'{name}_{at}.png',
        width=width,
        height=height,
        boxes=marked,
        bytes=len(png),
    )
    return about, bytes(png)


def _samples_of(cfg: Config) -> Iterator[dict[str, Any]]:
    loader = {**cfg.train_dataloader, 'batch_size': 1, 'num_workers': 0}
    loader.update(persistent_workers=False, batch_sampler=None)
    yield from Runner.build_dataloader(loader, seed=0)


def _by_class(cfg: Config) -> dict[int, list[dict[str, Any]]]:
    """Samples by the one class that they show; those of several are passed over."""
    found: dict[int, list[dict[str, Any]]] = {}
    for sample in _samples_of(cfg):
        labels = sample['data_samples'][0].gt_instances.labels.unique().tolist()
        if len(labels) == 1:
            found.setdefault(labels[0], []).append(sample)
    return found


def main(args: Sequence[str] | None = None) -> None:
    """Make the images of a step that has been trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('step', type=Path, help='folder of a step that is finished')
    parser.add_argument('out', type=Path, help='new folder of the memory')
    parser.add_argument('--images', type=int, default=10, help='of each class')
    parser.add_argument('--steps', type=int, default=400, help='of Adam')
    parser.add_argument('--size', type=int, default=200, help='pixels')
    given = parser.parse_args(args)
    (config,) = given.step.glob('*.py')
    cfg = Config.fromfile(config)
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    model: Any = MODELS.build(cfg.model)
    name = Path((given.step / 'last_checkpoint').read_text().strip()).name
    path = str(given.step / name)
    model.load_state_dict(state_dict_of(load_weights(path), path))
    model.requires_grad_(False).eval()
    classes = list(cfg.train_dataloader.dataset.keep_classes)
    pairs, numbers = [], 0
    for label, samples in sorted(_by_class(cfg).items()):
        moments, boxes = class_moments(model, samples, given.size)
        numbers += sum(layer.numel() for layer in moments)
        images, off = invert(
            model,
            moments,
            boxes[: given.images],
            size=given.size,
            steps=given.steps,
            seed=label,
        )
        print(f'{classes[label]}: moments {off:.3f} off', flush=True)
        pairs += [
            remembered(image, found, name=classes[label], classes=classes, at=at)
            for at, (image, found) in enumerate(
                zip(images, boxes[: given.images], strict=True)
            )
        ]
    memory = Memory(
        step=0,
        classes=classes,
        budget={'images': given.images},
        seed=0,
        images=[about for about, _ in pairs],
    )
    write_memory(given.out, memory, [png for _, png in pairs])
    print(f'{given.out}: {len(pairs)} images, from {numbers * 4} bytes of moments')


if __name__ == '__main__':
    main()
