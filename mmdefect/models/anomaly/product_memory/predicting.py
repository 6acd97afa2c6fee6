"""What a memory of products says about images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.maps import enlarge_maps
from mmdefect.functional.tolerance import ToleranceLimit
from mmdefect.models.anomaly.features import FrozenFeatures
from mmdefect.models.anomaly.product_memory.banks import ProductBanks
from mmdefect.models.anomaly.product_memory.note import (
    check_note,
    check_size,
    read_note,
    settings_of,
    write_note,
)
from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice


class MemoryOfProducts(BaseModel):
    """The half of :class:`.model.ProductMemory` that looks and does not learn."""

    features: FrozenFeatures
    banks: ProductBanks
    recipe: Recipe
    note: Tensor
    in_channels: int
    route: str
    margin: float | None
    sigma: float
    _agreed: bool
    _limits: list[ToleranceLimit | None] | None

    def alarms(self) -> list[ToleranceLimit | None]:
        """Threshold of every product's alarm and what it is worth, in label order.

        ``None`` where the product is not learned, or without held-out images.
        """
        if self._limits is None:
            wanted = (self.recipe.rate, self.recipe.confidence)
            self._limits = [bank.limit(*wanted) for bank in self.banks.all]
        return self._limits

    def patches(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Features of every place, ``(B, grid * grid, C)``."""
        features = self.features.of(inputs, self.in_channels)
        return features.flatten(2).transpose(1, 2)

    def embeddings(self, patches: Tensor) -> Tensor:
        """What images look like on average, ``(B, C)``, of length 1."""
        return F.normalize(patches.mean(dim=1), dim=1)

    @torch.no_grad()
    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: Sequence[AnomalySample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Maps ``(B, 1, grid, grid)``, or samples with ``mode='predict'``.

        A sample gets ``pred_map`` at the size of its image file, ``pred_score``,
        ``pred_product`` (-1: unknown, compared with the nearest one), and
        ``pred_alarm`` where its product has an alarm or is unknown.

        Raises:
            ValueError: There is nothing in memory, or it was learned with other
                settings, the images have another size, a feature is not finite, a
                product that was given is not learned, or the mode is another one.
        """
        check_choice('mode', mode, ('predict', 'tensor'))
        if not any(bank.is_filled for bank in self.banks.all):
            raise ValueError(
                'memory without products: expected a trained model; train it for an '
                'epoch with mmdefect.CoresetHook'
            )
        given = {'images': inputs} if isinstance(inputs, Tensor) else inputs
        samples = list(data_samples or [])
        self._agree(size_of(given, samples[0] if samples else None))
        patches = self.patches(given)
        labels, known = self._products(patches, samples)
        maps = self._maps(patches, labels)
        good = self._mostly_good(maps, labels)
        known = [a or b for a, b in zip(known, good, strict=True)]
        if not bool(maps.isfinite().all()):
            raise ValueError(
                'features are NaN or infinite: expected finite ones; check the image '
                'and the weights of the encoder'
            )
        side = self.features.grid
        if mode == 'tensor':
            return maps.unflatten(1, (1, side, side))
        return self._predicted(maps.unflatten(1, (side, side)), samples, labels, known)

    def _products(
        self, patches: Tensor, samples: Sequence[AnomalySample]
    ) -> tuple[list[int], list[bool]]:
        """Label of the product that each image is compared with; is it known?"""
        labels, sure = self.banks.recognise(self.embeddings(patches), self.margin)
        if self.route == 'all':
            labels = self._best(patches)
        for number, sample in enumerate(samples):
            told = sample.get('told_product')
            if told is None and self.route == 'given':
                told = sample.get('class_label')
            if told is not None:
                labels[number] = self.banks.learned(int(told))
                sure[number] = True
        if self.route == 'given' and not samples:
            raise ValueError(
                "model.route='given' and images without samples: expected samples "
                "with told_product; give them, or set model.route='image'"
            )
        return labels, sure

    def _mostly_good(self, maps: Tensor, labels: Sequence[int]) -> list[bool]:
        """Whether most of an image is what its product looks like, defect or not."""
        alarms = self.alarms()
        below = ((maps <= 1).float().mean(dim=1) >= 0.5).tolist()
        return [
            alarms[label] is not None and good
            for label, good in zip(labels, below, strict=True)
        ]

    def _best(self, patches: Tensor) -> list[int]:
        """The products whose memories the images suit best."""
        filled = self.banks.filled
        found = torch.stack(
            [
                self._scores(self._maps(patches, [label] * len(patches)))
                for label in filled
            ]
        )
        return [filled[place] for place in found.argmin(dim=0).tolist()]

    def _scores(self, maps: Tensor) -> Tensor:
        return self.recipe.scores(maps)

    def _maps(self, patches: Tensor, labels: Sequence[int]) -> Tensor:
        """How unlike its product each patch is, 1 at the alarm, ``(B, N)``."""
        maps = patches.new_empty(patches.shape[:2])
        for label in sorted(set(labels)):
            rows = [number for number, found in enumerate(labels) if found == label]
            bank = self.banks.of(label)
            found = bank.distances(
                patches[rows], self.recipe.search, window=bank.window
            )
            limit = self.alarms()[label]
            if limit is not None:
                found = found / max(limit.threshold, torch.finfo(found.dtype).tiny)
            maps[rows] = found
        return maps

    def _predicted(
        self,
        maps: Tensor,
        samples: list[AnomalySample],
        labels: Sequence[int],
        known: Sequence[bool],
    ) -> list[AnomalySample]:
        scores = self._scores(maps.flatten(1))
        for number, sample in enumerate(samples):
            shape = sample.get('ori_shape') or sample.img_shape
            size = (int(shape[0]), int(shape[1]))
            sample.pred_map = enlarge_maps(maps[number], size, self.sigma)
            sample.pred_score = scores[number]
            label = labels[number] if known[number] else -1
            sample.pred_product = torch.tensor(label, device=maps.device)
            if label < 0 or self.alarms()[label] is not None:
                above = label < 0 or bool(scores[number] > 1)
                sample.pred_alarm = torch.tensor(above, device=maps.device)
        return samples

    def learned_with(self) -> dict[str, Any] | None:
        """Settings that the memory was learned with; ``None`` before it was."""
        return read_note(self.note)

    def _agree(self, size: Sequence[int] | None) -> None:
        """Write down what the memory is learned with, or compare with what stands."""
        known = self.learned_with()
        if known is None:
            write_note(self.note, settings_of(self, size))
        elif not self._agreed:
            check_note(known, settings_of(self, known['size']))
        self._agreed = True
        if known is not None:
            check_size(known, size)


def size_of(
    inputs: Mapping[str, Tensor], sample: AnomalySample | None
) -> Sequence[int] | None:
    """Height and width of a batch; of cached features what the sample says."""
    if 'images' in inputs:
        return tuple(inputs['images'].shape[-2:])
    shape = None if sample is None else sample.get('img_shape')
    return None if shape is None else tuple(map(int, shape[:2]))
