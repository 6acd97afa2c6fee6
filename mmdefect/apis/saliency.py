"""Saliency maps of a classifier's images, and whether they lie on the defects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from torch import Tensor

from mmdefect.apis.models import build_model
from mmdefect.datasets.casting.masks import read_defect_mask
from mmdefect.utils.checks import check_choice
from mmdefect.visualization.attention import swin_attention, vit_attention
from mmdefect.visualization.saliency import (
    default_layer,
    find_layer,
    grad_cam,
    integrated_gradients,
    occlusion,
)

METHODS = ('grad_cam', 'attention', 'integrated_gradients', 'occlusion')
# Images after the preprocessor and a class -> maps.
Explainer = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One image, its prediction, and the evidence for it.

    Attributes:
        path: Its file.
        image: As the pipeline left it, ``(H, W, 3)``, uint8, BGR.
        label: True class.
        pred: Predicted class.
        score: Probability of the predicted class.
        target: Class that is explained.
        saliency: ``(H, W)``, from 0 to 1.
        mask: ``(H, W)``, True on the defect; None where it is not outlined.
    """

    path: str
    image: np.ndarray
    label: int
    pred: int
    score: float
    target: int
    saliency: Tensor
    mask: Tensor | None


def load_classifier(cfg: Config, checkpoint: str | Path) -> Any:
    """Build a classifier; see :func:`~mmdefect.apis.models.build_model`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the checkpoint holds other tensors than the model, or the config
            is none of a classifier.

    Example:
        >>> cfg = load_config('luna.py')  # doctest: +SKIP
        >>> model = load_classifier(cfg, 'calibrated.pth')  # doctest: +SKIP
    """
    if not {'backbone', 'head'} <= cfg.model.keys():
        raise ValueError(
            f'model.type={cfg.model.type!r}: expected a classifier such as '
            'ImageClassifier; what detectors and anomaly models see is drawn by '
            'tools/test.py --show-dir'
        )
    return build_model(cfg, checkpoint, device=get_device())


def make_explainer(
    model: Any,
    images: Tensor,
    *,
    method: str = 'grad_cam',
    layer: str | None = None,
    block: Sequence[int] | None = None,
    head: int | None = None,
    query: int | None = None,
) -> tuple[Explainer, str]:
    """Return a function that explains, and where in the network it looks, in words.

    Args:
        model: Classifier.
        images: One image after the preprocessor, shape ``(1, C, H, W)``.
        method: One of :data:`METHODS`.
        layer: For ``grad_cam``; by default the last module whose output is a map.
        block: For ``attention``: index of a ViT's block (the last by default), stage
            and block of a Swin transformer (2 and 2).
        head: For ``attention``; the mean of all heads by default.
        query: For ``attention`` of a Swin transformer; the mean of all by default.

    Raises:
        ValueError: If the method is unknown, a setting belongs to another method, the
            layer does not exist, or the network does not fit the method.

    Example:
        >>> images = torch.zeros(1, 3, 32, 32)
        >>> explain, place = make_explainer(None, images, method='occlusion')
        >>> place
        'the image'
    """
    check_choice('method', method, METHODS)
    given = {'layer': layer, 'block': block, 'head': head, 'query': query}
    own = {'grad_cam': ('layer',), 'attention': ('block', 'head', 'query')}
    for name, value in given.items():
        if value is not None and name not in own.get(method, ()):
            raise ValueError(
                f'{name}={value}: expected nothing with method={method}, which has '
                'none; leave it out'
            )
    if method == 'grad_cam':
        name = layer or default_layer(model, images)
        find_layer(model, name)
        return lambda batch, target: grad_cam(model, name, batch, target), name
    if method == 'attention':
        return _attention(model, block, head, query)
    explain: Any = integrated_gradients if method != 'occlusion' else occlusion
    return lambda batch, target: explain(model, batch, target), 'the image'


def _attention(
    model: Any, block: Sequence[int] | None, head: int | None, query: int | None
) -> tuple[Explainer, str]:
    kind = type(model.backbone).__name__
    swin = kind == 'SwinTransformer'
    place = tuple(block or ((2, 2) if swin else (-1,)))
    if len(place) != 1 + swin:
        raise ValueError(
            f'block={" ".join(map(str, place))} for a {kind}: expected '
            f'{"2 numbers, stage and block" if swin else "1 number"}'
        )
    if swin:
        stage, index = place
        return (
            lambda batch, _: swin_attention(model, batch, (stage, index), head, query),
            f'stage {stage}, block {index}',
        )
    if query is not None:
        raise ValueError(
            f'query={query} for a {kind}: expected none, the class token looks; leave '
            'it out'
        )
    (index,) = place
    return lambda batch, _: vit_attention(model, batch, index, head), f'block {index}'


def prepared(model: Any, dataset: Any, index: int) -> tuple[Tensor, dict[str, Any]]:
    """Run pipeline and preprocessor on one image of a dataset.

    Returns:
        The image as the pipeline left it, ``(C, H, W)``, and a batch of it: ``inputs``
        and ``data_samples``.

    Example:
        >>> image, data = prepared(model, dataset, 0)  # doctest: +SKIP
    """
    item = dataset[index]
    return item['inputs'], model.data_preprocessor(pseudo_collate([item]), False)


def explained(
    model: Any,
    dataset: Any,
    indices: Sequence[int],
    explain: Explainer,
    *,
    target: int | None = None,
) -> Iterator[Explained]:
    """Classify images and explain why, one after the other.

    Args:
        model: Classifier.
        dataset: Its dataset, whose pipeline ends in ``PackInputs``.
        indices: Which images.
        explain: What :func:`make_explainer` returns.
        target: Class to explain; the predicted one by default.

    Raises:
        ValueError: If a mask has another size than its image.

    Example:
        >>> for entry in explained(model, dataset, [0], explain):  # doctest: +SKIP
        ...     print(entry.path, entry.score)
    """
    for index in indices:
        image, data = prepared(model, dataset, index)
        with torch.no_grad():
            (sample,) = model.predict(data['inputs'], data['data_samples'])
        pred = int(sample.pred_label)
        chosen = pred if target is None else target
        height, width = image.shape[-2:]
        # A preprocessor may have padded on the right and below.
        saliency = explain(data['inputs'], chosen)[0, :height, :width].cpu()
        path = dataset.get_data_info(index).get('mask_path')
        yield Explained(
            path=str(sample.img_path),
            image=np.ascontiguousarray(image.permute(1, 2, 0).numpy()),
            label=int(sample.gt_label),
            pred=pred,
            score=float(sample.pred_score[pred]),
            target=chosen,
            saliency=saliency,
            mask=None if path is None else _mask(path, sample, dataset.pipeline),
        )


def _mask(path: str, sample: Any, pipeline: Any) -> Tensor:
    """The defect's outline as the pipeline would have left it."""
    mask = read_defect_mask(path)
    if tuple(sample.ori_shape[:2]) != mask.shape:
        raise ValueError(
            f'{path} has {mask.shape[0]} x {mask.shape[1]} pixels and its image '
            f'{sample.ori_shape[0]} x {sample.ori_shape[1]}: expected the same size; '
            'draw it on this image'
        )
    results: dict[str, Any] = {
        'img': np.repeat(255 * mask[..., None], 3, axis=2),
        'img_shape': mask.shape,
        'ori_shape': mask.shape,
    }
    for transform in pipeline.transforms:
        if not type(transform).__name__.startswith('Load'):
            results = transform(results)
    return results['inputs'].amax(dim=0) > 127


def spread(number: int, most: int) -> list[int]:
    """Up to ``most`` indices of ``number``, evenly spaced.

    Example:
        >>> spread(10, 4)
        [0, 2, 5, 7]
    """
    chosen = min(number, most)
    return [k * number // chosen for k in range(chosen)]


def check_target(target: str, classes: Sequence[str]) -> int | None:
    """Index of the class to explain; None for ``predicted``.

    Raises:
        ValueError: If it is neither that nor one of the classes.

    Example:
        >>> check_target('ok', ['defective', 'ok'])
        1
    """
    check_choice('target', target, ('predicted', *classes))
    return None if target == 'predicted' else list(classes).index(target)
