"""A memory of normal patches that grows product by product and learns nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.dist import all_gather_object, broadcast
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.coreset import k_center_greedy, nearest_distance
from mmdefect.models.anomaly.features import FrozenFeatures
from mmdefect.models.anomaly.reservoir import PatchReservoir, image_key
from mmdefect.models.anomaly.scoring import check_score, with_scores
from mmdefect.registry import MODELS
from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice


@MODELS.register_module()
class IncrementalCoreset(BaseModel):
    """PatchCore (Roth et al., CVPR 2022) with a place in memory for every product.

    The training-free reference for IUF: the same frozen features, a patch's anomaly is
    its distance to the nearest patch in memory, whatever the product. A step fills the
    places of its new products and leaves the others alone, so nothing is forgotten;
    the memory grows by ``per_class`` patches a product, and inference with it.

    Train it for one epoch with :class:`~mmdefect.engine.hooks.coreset.CoresetHook`.

    Args:
        backbone: Frozen backbone with several outputs, or its config.
        in_channels: Sum of their channels.
        num_classes: Products seen so far.
        grid: Side of the feature map.
        per_class: Patches that are kept of a product.
        candidates: Patches of a product that are chosen from: an even sample, which
            hangs on the names of the images and on nothing else.
        score: As for :class:`~mmdefect.models.anomaly.iuf.IUF`.
        data_preprocessor: As for MMEngine's ``BaseModel``; ours by default. There is no
            ``init_cfg``: a backbone has its own, a step starts from the one before.
    """

    def __init__(
        self,
        *,
        backbone: Mapping[str, Any] | nn.Module,
        in_channels: int,
        num_classes: int,
        grid: int = 14,
        per_class: int = 500,
        candidates: int = 20_000,
        score: str = 'pooled_max',
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor=data_preprocessor
            or {'type': 'mmdefect.AnomalyDataPreprocessor'}
        )
        check_score(score)
        self.features = FrozenFeatures(backbone=backbone, grid=grid)
        self.candidates = candidates
        self.score = score
        self.register_buffer('memory', torch.zeros(num_classes, per_class, in_channels))
        self.register_buffer('filled', torch.zeros(num_classes, dtype=torch.long))
        self.memory: Tensor
        self.filled: Tensor
        self._seen: dict[int, PatchReservoir] = {}

    #: The features are all that it takes from an image.
    needs_images = False
    #: Buffers whose rows are products.
    class_keys: ClassVar[tuple[str, ...]] = ('memory', 'filled')

    def init_weights(self) -> None:
        """Load the backbone."""
        self.features.init_weights()

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Look at a batch and remember its patches until the step is finished."""
        data = self.data_preprocessor(data, True)
        patches = self.patches(data['inputs'])
        for sample, found in zip(data['data_samples'], patches, strict=True):
            label = int(sample.class_label)
            seen = self._seen.setdefault(label, PatchReservoir(self.candidates))
            seen.add(image_key(sample.img_path), found.cpu())
        return {'images': torch.tensor(float(len(patches)))}

    @torch.no_grad()
    def finish_step(self) -> None:
        """Choose what is kept of the products that all processes have seen."""
        seen: dict[int, PatchReservoir] = {}
        for part in all_gather_object(self._seen):
            for label, found in part.items():
                seen.setdefault(label, PatchReservoir(self.candidates)).merge(found)
        for label, sample in sorted(seen.items()):
            points = sample.patches
            chosen = points[k_center_greedy(points, self.memory.shape[1])]
            self.memory[label, : len(chosen)] = chosen.to(self.memory)
            self.filled[label] = len(chosen)
        self._seen = {}
        # The last digits of features may differ between machines: all take the first's.
        broadcast(self.memory)
        broadcast(self.filled)

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: Sequence[AnomalySample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Maps ``(B, 1, grid, grid)``, or samples with ``mode='predict'``.

        Raises:
            ValueError: There is nothing in memory, or the mode is another one.
        """
        if not int(self.filled.sum()):
            raise ValueError(
                'memory without patches: expected a trained model; train it for an '
                'epoch with mmdefect.CoresetHook'
            )
        given = {'images': inputs} if isinstance(inputs, Tensor) else inputs
        patches = self.patches(given)
        side = self.features.grid
        distance = nearest_distance(patches.flatten(0, 1), self.remembered())
        maps = distance.view(len(patches), 1, side, side)
        if mode == 'tensor':
            return maps
        check_choice('mode', mode, ('predict', 'tensor'))
        return with_scores(maps, data_samples or [], self.score)

    def patches(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Features averaged over 3 x 3 neighbours, ``(B, grid * grid, C)``."""
        features = self.features.of(inputs, self.memory.shape[-1])
        near = F.avg_pool2d(features, 3, stride=1, padding=1, count_include_pad=False)
        return near.flatten(2).transpose(1, 2)

    def remembered(self) -> Tensor:
        """Patches in memory, shape ``(M, C)``; no copy where all places are filled."""
        if bool((self.filled == self.memory.shape[1]).all()):
            return self.memory.flatten(0, 1)
        rows = zip(self.memory, self.filled.tolist(), strict=True)
        return torch.cat([places[:number] for places, number in rows])
