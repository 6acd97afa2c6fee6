"""Speed and size of a product memory: adding, searching, choosing a coreset."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lab.benchmarks.anomaly import speedup
from mmdefect.functional.coreset import k_center_greedy
from mmdefect.structures import AnomalySample
from mmdefect.utils.timing import Progress, interleaved

Measurement = Callable[[Progress | None], dict[str, float]]

MODEL = '_base_/models/memory.py'
ENCODER = '_base_/models/encoders/{}.py'
BATCH = 24
#: Products between which the cost of an image is compared.
PRODUCTS = (10, 100)


class MemorySuite:
    """Measurements of :class:`ProductMemory`, one by one.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Pairs of runs of everything that is compared.
        image_size: Height and width of the images in pixels.
        images: Good images of the product that is added.
        points: Points of which a coreset of a thousand is chosen.
        encoder: Name of a file in ``_base_/models/encoders``.

    Attributes:
        comparisons: Name -> what measures it, and what belongs to it.
    """

    dataset = 'random images'

    def __init__(
        self,
        *,
        configs: str | Path,
        pairs: int = 20,
        image_size: int = 224,
        images: int = 300,
        points: int = 100_000,
        encoder: str = 'mobilenet-v2',
    ) -> None:
        self.configs = Path(configs)
        self.pairs = pairs
        self.image_size = image_size
        self.images = images
        self.points = points
        self.encoder = encoder
        self._learned: Any = None
        self.comparisons: dict[str, Measurement] = {
            'add_product_seconds': self._adding,
            'search_share_of_forward': self._search,
            'cost_100/cost_10_products': self._products,
            'greedy_speedup': self._greedy,
        }

    @property
    def notes(self) -> str:
        """What a reader of the numbers must know."""
        return (
            f'{self.encoder} with random weights, {self.image_size} px, smooth random '
            f'images; a product of {self.images} images with 1,000 vectors after PCA '
            'of 99 %, calibration included, images already decoded. Search is '
            'projection and nearest vector of an image, forward the encoder; medians '
            f'over {self.pairs} interleaved pairs. Greedy: 1,000 of {self.points:,} '
            'points of 92 dimensions, against the loop that takes one point at a time.'
        )

    def model(self, products: int = 1) -> Any:
        """Build the memory of the presets with random weights."""
        init_default_scope('mmdefect')
        torch.manual_seed(0)
        cfg = Config.fromfile(self.configs / MODEL).model
        encoder = Config.fromfile(self.configs / ENCODER.format(self.encoder)).encoder
        encoder.backbone.init_cfg = None
        model: Any = MODELS.build({**cfg, **encoder, 'num_classes': products})
        model.init_weights()
        return model

    def batch(self, first: int, number: int) -> dict[str, Any]:
        """Return smooth random images of one product, as the pipelines make them."""
        size = (self.image_size, self.image_size)
        random = torch.Generator().manual_seed(first)
        coarse = torch.rand(number, 3, 24, 24, generator=random)
        pixels = F.interpolate(coarse, size, mode='bicubic').clamp(0, 1) * 255
        samples = [
            AnomalySample(
                metainfo={
                    'img_shape': size,
                    'ori_shape': size,
                    'class_label': 0,
                    'class_name': 'part',
                    'img_path': f'part/train/good/{first + place}.png',
                }
            )
            for place in range(number)
        ]
        return {
            'inputs': {'image': list(pixels.to(torch.uint8))},
            'data_samples': samples,
        }

    def learned(self) -> Any:
        """A memory of one product, learned once."""
        if self._learned is None:
            self._adding()
        return self._learned

    def _adding(self, progress: Progress | None = None) -> dict[str, float]:
        model = self.model()
        starts = range(0, self.images, BATCH)
        batches = [
            self.batch(first, min(BATCH, self.images - first)) for first in starts
        ]
        begin, used = time.perf_counter(), time.process_time()
        for done, data in enumerate(batches, 1):
            model.train_step(data, None)
            if progress is not None:
                progress(done, len(batches))
        model.finish_step()
        taken = time.perf_counter() - begin
        used = time.process_time() - used
        self._learned = model.eval()
        return {
            'add_product_seconds': taken,
            'add_product_cpu_seconds': used,
            'mb_per_product': model.banks[0].nbytes / 1e6,
        }

    @torch.no_grad()
    def _search(self, progress: Progress | None = None) -> dict[str, float]:
        model = self.learned()
        data = model.data_preprocessor(self.batch(10_000, 1))
        patches = model.patches(data['inputs'])
        bank = model.banks[0]
        times = interleaved(
            partial(bank.distances, patches, model.recipe.search, window=bank.window),
            partial(model.features, data['inputs']['images']),
            pairs=self.pairs,
            progress=progress,
        )
        return times.metrics('search_share_of_forward')

    @torch.no_grad()
    def _products(self, progress: Progress | None = None) -> dict[str, float]:
        few, many = (self._looking(number) for number in PRODUCTS)
        times = interleaved(many, few, pairs=self.pairs, progress=progress)
        return times.metrics('cost_100/cost_10_products')

    def _looking(self, products: int) -> Callable[[], Any]:
        """What judges an image with so many products, of which it suits one."""
        content = dict(self.learned().banks[0].named_buffers())
        model = self.model(products)
        random = torch.Generator().manual_seed(products)
        for number, bank in enumerate(model.banks):
            bank.fill(content)
            if number:  # it looks otherwise
                other = torch.randn(bank.embedding.shape, generator=random)
                bank.fill({'embedding': F.normalize(other, dim=0)})
        model.eval()
        data = self.batch(10_000, 1)
        return lambda: model.test_step(data)

    def _greedy(self, progress: Progress | None = None) -> dict[str, float]:
        random = torch.Generator().manual_seed(0)
        # Most of what varies lies in a few directions, as of features.
        scale = torch.linspace(1, 0.1, 92).square()
        points = torch.randn(self.points, 92, generator=random) * scale
        times = interleaved(
            partial(k_center_greedy, points, 1000),
            partial(one_at_a_time, points, 1000),
            pairs=2,
            warmup=0,
            progress=progress,
        )
        return speedup('greedy_speedup', times)


def one_at_a_time(points: Tensor, number: int) -> Tensor:
    """Choose a coreset by the loop that :func:`k_center_greedy` was before."""
    taken = torch.empty(number, dtype=torch.long)
    distances = points.new_full((len(points),), torch.inf)
    index = 0
    for place in range(number):
        taken[place] = index
        distances = torch.minimum(distances, (points - points[index]).norm(dim=1))
        index = int(distances.argmax())
    return taken
