"""Batches of images, or of their cached features, as the anomaly models take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmdefect.registry import MODELS

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@MODELS.register_module()
class AnomalyDataPreprocessor(BaseDataPreprocessor):
    """Stacks a batch, turns BGR into RGB and normalises it.

    An item's ``inputs`` is an image, or a mapping with ``image``, ``features`` or both
    where a feature cache is in use.

    Args:
        mean: Of each RGB channel, in grey levels.
        std: Of each RGB channel.

    Raises:
        ValueError: When called, if images of a batch differ in size.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        non_blocking: bool | None = False,
    ) -> None:
        super().__init__(non_blocking)
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, data: Any, training: bool = False) -> Any:
        """Return ``inputs`` as ``{'images': ..., 'features': ...}`` and the samples."""
        data = self.cast_data(data)
        inputs = data['inputs']
        if not isinstance(inputs, Mapping):
            inputs = {'image': inputs}
        ready: dict[str, Tensor] = {}
        if 'image' in inputs:
            ready['images'] = self.normalise(inputs['image'])
        if 'features' in inputs:
            ready['features'] = _stacked(inputs['features'], 'features').float()
        return {'inputs': ready, 'data_samples': data.get('data_samples')}

    def normalise(self, images: Sequence[Tensor] | Tensor) -> Tensor:
        """RGB of unit deviation, ``(B, 3, H, W)``, from BGR images ``(3, H, W)``.

        Raises:
            ValueError: Images differ in size, or have another number of channels.
        """
        batch = _stacked(images, 'images')
        if batch.shape[1] != len(self.mean):
            raise ValueError(
                f'images of {batch.shape[1]} channels: expected {len(self.mean)}, '
                'as the encoder takes; load them as colour images'
            )
        return (batch.float().flip(1) - self.mean) / self.std


def _stacked(items: Sequence[Tensor] | Tensor, what: str) -> Tensor:
    if isinstance(items, Tensor):
        return items
    if len({item.shape for item in items}) != 1:
        raise ValueError(
            f'{what} of shapes {sorted({tuple(item.shape) for item in items})}: '
            'expected one shape a batch; resize all images to one size'
        )
    return torch.stack(list(items))
