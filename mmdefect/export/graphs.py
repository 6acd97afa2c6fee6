"""What becomes a graph: networks with decoding, without anything that is decided.

Suppression, thresholds and enlarging to the original image stay outside, where they can
be changed without exporting again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.deploy.spec import Task
from mmdefect.export.product_graph import ProductGraph

# UniAD's window, as image_scores of the anomaly models has it.
WINDOW = 16


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """A network that can be exported.

    Args:
        module: From images ``(B, C, H, W)``, and what else it takes, to a tuple of
            outputs.
        outputs: Their names.
        postprocess: Settings of what follows, plain data.
        inputs: Names of what it takes; a model that recognises products takes ``told``,
            too, int64 ``(B,)``: which one it is, or -1.
    """

    module: nn.Module
    outputs: tuple[str, ...]
    postprocess: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ('images',)


def exportable(model: Any, task: Task) -> Exportable:
    """Wrap a trained model for export.

    Args:
        model: In evaluation mode.
        task: What it puts out.

    Raises:
        ValueError: Its head, or a setting of it, is none that an export knows.
    """
    if task == 'boxes':
        return _detector(model)
    if task == 'maps':
        return _maps_of(model)
    return _classifier(model)


def _kinds(module: Any) -> set[str]:
    """Names of the types that a module inherits from: no package need be imported."""
    return {kind.__name__ for kind in type(module).__mro__}


def _detector(model: Any) -> Exportable:
    head: Any = getattr(model, 'bbox_head', None)
    if 'GFLHead' not in _kinds(head):
        raise ValueError(
            f'model.bbox_head={type(head).__name__!r}: expected a GFL head to export; '
            'predict with the checkpoint instead'
        )
    cfg = head.test_cfg
    nms: dict[str, Any] = dict(cfg.get('nms') or {})
    if nms.pop('type', None) != 'nms':
        raise ValueError(
            f'model.test_cfg.nms={cfg.get("nms")}: expected one of type nms to export; '
            "set it to dict(type='nms', iou_threshold=0.6)"
        )
    count = len(head.prior_generator.strides)
    names = [
        f'{what}_{level}' for level in range(count) for what in ('scores', 'boxes')
    ]
    settings = {
        'score_threshold': float(cfg.get('score_thr', 0)),
        'nms_pre': int(cfg.get('nms_pre', -1)),
        'iou_threshold': float(nms.get('iou_threshold', nms.get('iou_thr', 0.5))),
        'nms_offset': int(nms.get('offset', 0)),
        'class_agnostic': bool(nms.get('class_agnostic', False)),
        'max_per_image': int(cfg.get('max_per_img', -1)),
        'min_box_size': float(cfg.get('min_bbox_size', -1)),
    }
    if (across := _option(head, 'suppress_across')) is not None:
        settings['suppress_across'] = across
    return Exportable(
        module=BoxGraph(model), outputs=tuple(names), postprocess=settings
    )


def _option(head: Any, name: str) -> float | None:
    """An option of a head that learns in steps; mmdet's own knows none."""
    return head.option(name) if 'IncrementalHead' in _kinds(head) else None


def _classifier(model: Any) -> Exportable:
    head = getattr(model, 'head', None)
    if 'ClsHead' not in _kinds(head):
        raise ValueError(
            f'model.head={type(head).__name__!r}: expected one of a single label an '
            'image (a ClsHead) to export; predict with the checkpoint instead'
        )
    return Exportable(module=LabelGraph(model), outputs=('probabilities',))


def _maps_of(model: Any) -> Exportable:
    kinds = _kinds(model)
    if 'ProductMemory' in kinds:
        return Exportable(
            module=ProductGraph(model),
            inputs=('images', 'told'),
            outputs=('maps', 'scores', 'products'),
            postprocess={'sigma': model.sigma},
        )
    if kinds & {'IncrementalCoreset', 'IUF'}:
        memory = 'IncrementalCoreset' in kinds
        small = MemoryMaps(model) if memory else ReconstructionMaps(model)
        graph = MapGraph(small, score=model.score)
        return Exportable(module=graph, outputs=('maps', 'scores'))
    raise ValueError(
        f'model.type={type(model).__name__!r}: expected IUF (UniAD), '
        'IncrementalCoreset or ProductMemory to export; predict with the checkpoint '
        'instead'
    )


class BoxGraph(nn.Module):
    """A GFL detector: probabilities and boxes of every prior, level by level."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``scores`` ``(B, A, C)`` and ``boxes`` ``(B, A, 4)`` of each level."""
        head = self.model.bbox_head
        levels = zip(*head(self.model.extract_feat(images)), strict=True)
        outputs: list[Tensor] = []
        for level, (logits, distances) in enumerate(levels):
            scores = logits.permute(0, 2, 3, 1).flatten(1, 2).sigmoid()
            if _option(head, 'competition') is not None:  # part of the graph
                scores = head.competing(scores)
            outputs += [scores, self._boxes(distances, level)]
        return tuple(outputs)

    def _boxes(self, logits: Tensor, level: int) -> Tensor:
        """Corners in pixels of the input, not clipped, ``(B, A, 4)``."""
        head = self.model.bbox_head
        bins = logits.permute(0, 2, 3, 1).flatten(1, 2)
        bins = bins.unflatten(-1, (4, head.reg_max + 1)).softmax(dim=-1)
        stride = head.prior_generator.strides[level][0]
        distances = F.linear(bins, head.integral.project[None])[..., 0] * stride
        height, width = logits.shape[-2:]
        priors = head.prior_generator.single_level_grid_priors(
            (height, width), level, device=logits.device
        )
        center = head.anchor_center(priors)
        return torch.cat([center - distances[..., :2], center + distances[..., 2:]], -1)


class LabelGraph(nn.Module):
    """A classifier: probabilities at the temperature of its head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """``probabilities`` ``(B, C)``."""
        head = self.model.head
        logits = head(self.model.extract_feat(images))
        if hasattr(head, 'probabilities'):
            return (head.probabilities(logits),)
        return (logits.softmax(dim=1),)


class MapGraph(nn.Module):
    """An anomaly model: the map at the size of the input, and the image's score.

    Args:
        small: From images to maps ``(B, 1, h, w)``.
        score: How a map becomes a score.
    """

    def __init__(self, small: nn.Module, *, score: str) -> None:
        super().__init__()
        self.small = small
        self.score = score

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``maps`` ``(B, H, W)`` and ``scores`` ``(B,)``."""
        size = images.shape[-2:]
        maps = F.interpolate(
            self.small(images), size, mode='bilinear', align_corners=True
        )
        return maps[:, 0], self._scores(maps)

    def _scores(self, maps: Tensor) -> Tensor:
        if self.score == 'pooled_max':
            window = min(WINDOW, *maps.shape[-2:])
            # One way after the other: the same mean for an eighth of the sums.
            rows = F.avg_pool2d(maps, (window, 1), stride=1)
            pooled = F.avg_pool2d(rows, (1, window), stride=1)
            return pooled.flatten(1).amax(dim=1)
        flat = maps.flatten(1)
        if self.score == 'max':
            return flat.amax(dim=1)
        return flat.mean(dim=1) if self.score == 'mean' else flat.std(dim=1)


class ReconstructionMaps(nn.Module):
    """How far IUF's or UniAD's reconstruction is from the features."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Maps ``(B, 1, grid, grid)``."""
        maps: Tensor = self.model(images, mode='tensor')
        return maps


class MemoryMaps(nn.Module):
    """Distance of each patch to the nearest that a coreset remembers.

    What is remembered is read once, here: a model that learns on needs another export.

    Raises:
        ValueError: It remembers nothing.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        if not int(model.filled.sum()):
            raise ValueError(
                'memory without patches: expected a trained model; train it for an '
                'epoch with mmdefect.CoresetHook'
            )
        self.model = model
        memory = model.remembered()
        self.register_buffer('memory', memory.T.contiguous(), persistent=False)
        squares = memory.square().sum(dim=1)
        self.register_buffer('squares', squares, persistent=False)
        self.memory: Tensor
        self.squares: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Maps ``(B, 1, grid, grid)``."""
        patches = self.model.patches({'images': images})
        # As cdist does it; |x|^2 is added last, behind the minimum.
        least = (self.squares - 2 * (patches @ self.memory)).amin(dim=-1)
        squared = (least + patches.square().sum(dim=-1)).clamp(min=0)
        side = self.model.features.grid
        return squared.sqrt().unflatten(1, (1, side, side))
