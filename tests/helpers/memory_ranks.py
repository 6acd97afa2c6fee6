"""Learn two products in the processes of a group, each of which sees some images.

``OUT``: rank ``r`` writes its memory to ``OUT/<processes>_<r>.pth``. Run by torchrun,
or plainly as the only process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from torch import Tensor, nn

from mmdefect.models.anomaly.product_memory.model import ProductMemory
from mmdefect.structures import AnomalySample
from mmdefect.utils.distributed import leave_process_group, prepare_distributed


class Taps(nn.Module):
    """Maps of 4 and 6 channels at strides 2 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(images).relu()
        return first, self.second(first).relu()


def drawn(number: int, label: int) -> dict[str, Any]:
    """A batch of one image."""
    generator = torch.Generator().manual_seed(100 * label + number)
    image = torch.randint(0, 256, (3, 16, 16), generator=generator)
    sample = AnomalySample(
        metainfo={
            'img_path': f'train/good/{number}.png',
            'class_name': f'product {label}',
            'class_label': label,
            'img_shape': (16, 16),
        }
    )
    return {'inputs': [image.to(torch.uint8)], 'data_samples': [sample]}


def main(out: Path) -> None:
    alone = 'RANK' not in os.environ
    prepare_distributed(Config({'launcher': 'none' if alone else 'pytorch'}))
    torch.manual_seed(0)
    model = ProductMemory(
        backbone=Taps(),
        in_channels=10,
        num_classes=2,
        grid=4,
        per_class=30,
        alarm={'rate': 0.3, 'confidence': 0.7},
    )
    for label, count in ((0, 10), (1, 25)):  # kept whole are 8: few, and many
        for number in range(get_rank(), count, get_world_size()):
            model.train_step(drawn(number, label), None)
        # A sampler fills up the last batch with the first image.
        model.train_step(drawn(0, label), None)
    model.finish_step()
    torch.save(model.state_dict(), out / f'{get_world_size()}_{get_rank()}.pth')
    leave_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]))
