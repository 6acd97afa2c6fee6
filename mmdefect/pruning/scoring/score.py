"""Score all filters of a classifier on a few segmented images, batch by batch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.pruning.scoring.activations import ActivationRecorder, channels_first
from mmdefect.pruning.scoring.scorers import FilterScorer, Seen
from mmdefect.utils.checks import check_choice
from mmdefect.utils.modules import evaluating

SELECT = ('object', 'background', 'union', 'contrast')
Scores = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class MaskedBatch:
    """Images as the network takes them, and where the object is.

    Attributes:
        images: Shape ``(N, 3, H, W)``.
        masks: Shape ``(N, H, W)``, uint8, 255 on the object.
        labels: True classes, shape ``(N,)``.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor


def masked_batches(
    model: Any, loader: Iterable[Mapping[str, Any]], *, raw: bool = False
) -> list[MaskedBatch]:
    """Prepare batches of a loader of segmented images once, for any number of scores.

    Args:
        model: A classifier of mmpretrain.
        loader: Gives ``inputs`` and ``data_samples`` with ``gt_seg_map``.
        raw: Values 0 to 255 in the order of the file's reader, without the classifier's
            normalisation: what FTL's release scored on.

    Raises:
        ValueError: Images of a batch differ in size.
    """
    batches = []
    for data in loader:
        samples = data['data_samples']
        sizes = {tuple(image.shape[-2:]) for image in data['inputs']}
        if len(sizes) > 1:
            raise ValueError(
                f'mask_dataloader: expected images of one size in a batch, not of '
                f'{sorted(sizes)[:3]}; set mask_dataloader.batch_size=1'
            )
        if raw:
            images = torch.stack([image.float() for image in data['inputs']])
        else:
            inputs = {'inputs': list(data['inputs'])}
            images = model.data_preprocessor(inputs, False)['inputs']
        # A flipped mask is a view with negative strides.
        maps = [np.ascontiguousarray(sample.gt_seg_map) for sample in samples]
        masks = torch.from_numpy(np.stack(maps))
        labels = torch.tensor([int(sample.gt_label) for sample in samples])
        scaled = (masks > 0).to(torch.uint8) * 255
        batches.append(MaskedBatch(images=images, masks=scaled, labels=labels))
    return batches


def score_filters(
    model: nn.Module,
    batches: Sequence[MaskedBatch],
    scorer: FilterScorer,
    layers: Sequence[str],
    *,
    background: bool = False,
    stop_after: str | None = None,
    seed: int = 0,
) -> Scores:
    """Average the score of each filter over all images; no map outlives its batch.

    Args:
        model: A classifier of mmpretrain, or anything with ``extract_feat`` and, for
            scores that need gradients, ``head``.
        batches: See :func:`masked_batches`.
        scorer: How filters are scored.
        layers: Names of the layers.
        background: Score against everything but the object.
        stop_after: Compute no further than this layer.
        seed: For scores that draw.

    Returns:
        Layer -> scores ``(C,)``, float64.

    Raises:
        ValueError: There are no images, and the scorer looks at some.
    """
    if not scorer.needs_maps:
        return _without_images(model, scorer, layers, seed)
    if not batches:
        raise ValueError(
            f'mask_dataloader: expected images, {type(scorer).__name__} scores filters '
            'by what they show'
        )
    sums: Scores = {}
    images = sum(len(batch.images) for batch in batches)
    with evaluating(model):
        for batch in batches:
            recorder = ActivationRecorder(model, layers, stop_after=stop_after)
            found = _score_batch(model, recorder, batch, scorer, background, seed)
            for name, scores in found.items():
                sums[name] = sums[name] + scores if name in sums else scores
    if unseen := [name for name in layers if name not in sums]:
        raise ValueError(
            f'{unseen[0]}: expected a map of each of {images} segmented images; give '
            'layers that run, and stop_after behind the last'
        )
    return {name: total / images for name, total in sums.items()}


def _score_batch(
    model: nn.Module,
    recorder: ActivationRecorder,
    batch: MaskedBatch,
    scorer: FilterScorer,
    background: bool,
    seed: int,
) -> Scores:
    """Sum the scores of each filter over the images of a batch."""
    masks = 255 - batch.masks if background else batch.masks
    gradients = _record(model, recorder, batch, scorer.needs_gradient)
    scores = {}
    for name, maps in recorder.maps().items():
        seen = Seen(
            weight=model.get_parameter(f'{name}.weight'),
            activation=maps.detach(),
            gradient=gradients.get(name),
            mask=masks,
        )
        scores[name] = scorer(seen, generator_of(name, seed)).double().sum(dim=0)
    return scores


def _without_images(
    model: nn.Module, scorer: FilterScorer, layers: Sequence[str], seed: int
) -> Scores:
    none, scores = torch.empty(0), {}
    for name in layers:
        weight = model.get_parameter(f'{name}.weight').detach()
        seen = Seen(weight=weight, activation=none, gradient=None, mask=none)
        scores[name] = scorer(seen, generator_of(name, seed)).double().mean(dim=0)
    return scores


def generator_of(layer: str, seed: int) -> torch.Generator:
    """Draw a layer's own random numbers, whichever others are scored with it."""
    # On the CPU no more than 32 bits of a seed count.
    return torch.Generator().manual_seed(zlib.crc32(f'{seed}:{layer}'.encode()))


def _record(
    model: Any, recorder: ActivationRecorder, batch: MaskedBatch, with_gradient: bool
) -> Mapping[str, Tensor]:
    """Run a batch; return the loss's gradients by layer where they are asked for."""
    if not with_gradient:
        with torch.no_grad(), recorder.recording():
            model.extract_feat(batch.images)
        return {}
    # A frozen network has no gradients; the images' make all maps part of the graph.
    images = batch.images.clone().requires_grad_(True)
    with torch.enable_grad(), recorder.recording():
        logits = _head(model, images)
        loss = F.cross_entropy(logits, batch.labels, reduction='sum')
    raw = recorder.raw()
    found = torch.autograd.grad(loss, list(raw.values()), allow_unused=True)
    return {
        name: channels_first(
            torch.zeros_like(raw[name]) if value is None else value,
            model.get_submodule(name),
        )
        for name, value in zip(raw, found, strict=True)
    }


def _head(model: Any, images: Tensor) -> Tensor:
    features = model.extract_feat(images)
    try:
        return model.head(features)
    except (ValueError, RuntimeError) as error:
        height, width = images.shape[-2:]
        raise ValueError(
            f'mask_dataloader: expected images of a size that the head takes, which '
            f'{height} x {width} pixels are not ({error}); for scores that need '
            'gradients, take a network with a global average, or images as the '
            'classifier has them (crack_patches.py --masks)'
        ) from error


def selected_scores(select: str, run: Callable[[bool], Scores]) -> list[Scores]:
    """Compute the scores that filters are selected by, one set each.

    Args:
        select: ``'object'``; ``'background'``; ``'union'``, both, the best of either
            stay (published for VGG16); ``'contrast'``, object minus background.
        run: Gives the scores, of the background if it is told so.
    """
    check_choice('select', select, SELECT)
    if select == 'object':
        return [run(False)]
    if select == 'background':
        return [run(True)]
    seen, around = run(False), run(True)
    if select == 'union':
        return [seen, around]
    return [{name: seen[name] - around[name] for name in seen}]
