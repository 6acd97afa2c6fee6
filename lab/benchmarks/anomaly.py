"""Speed and memory of the incremental anomaly model and of its metrics.

Model and optimizer are those of the presets at paper size, with random weights and
random images: what an iteration costs depends on neither.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from lab.benchmarks.anomaly_memory import (
    conditioner_memory,
    max_difference,
    statistics_megabytes,
)
from lab.benchmarks.anomaly_metrics import (
    DEFECTIVE,
    FPR_LIMIT,
    SIZE,
    THRESHOLDS,
    flat_pixels,
    random_records,
    sklearn_auroc,
    stacked_pixels,
    streamed,
    threshold_aupro,
)
from mmdefect.evaluation.anomaly_pixels import ImageRecord
from mmdefect.functional.ranking import auroc
from mmdefect.models.anomaly.scoring import with_scores
from mmdefect.structures import AnomalySample
from mmdefect.utils.timing import PairTimes, Progress, interleaved

Measurement = Callable[[Progress | None], dict[str, float]]

MODEL = '_base_/models/iuf_b4.py'
SCHEDULE = '_base_/schedules/adamw_anomaly.py'
#: The conditioner of the release, with attention that torch fuses.
COMPAT = {'source': 'image', 'heads': 4, 'fused': True}
BATCHES = (1, 8)


class AnomalySuite:
    """Measurements of IUF, one by one.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Pairs of runs of everything but training.
        train_pairs: Pairs of training iterations; the released conditioner needs a
            minute for one.
        image_size: Height and width of the images in pixels.
        batch_size: Images of a training batch.
        maps: Anomaly maps, 256 px each, that metrics are computed from.

    Attributes:
        comparisons: Name -> what measures it, and what belongs to it. Each builds what
            it needs.
    """

    dataset = 'random images'

    def __init__(
        self,
        *,
        configs: str | Path,
        pairs: int = 10,
        train_pairs: int = 3,
        image_size: int = 224,
        batch_size: int = 4,
        maps: int = 200,
    ) -> None:
        self.configs = Path(configs)
        self.pairs = pairs
        self.train_pairs = train_pairs
        self.image_size = image_size
        self.batch_size = batch_size
        self.maps = maps
        self._not_compiled: dict[int, str] = {}
        # The cheap ones first: what is missing is said at once.
        self.comparisons: dict[str, Measurement] = {
            'auroc_exact_speedup': partial(self._auroc, 'exact'),
            'auroc_streaming_speedup': partial(self._auroc, 'streaming'),
            'aupro_speedup': self._aupro,
            'statistics_mb_per_step': self._statistics,
            'compat_saved_gib_per_image': self._memory,
            **{
                f'infer_eager_b{batch}_images_per_s': partial(self._inference, batch)
                for batch in BATCHES
            },
            'train_default_cached/compat': self._training,
        }

    @property
    def notes(self) -> str:
        """What a reader of the numbers must know."""
        said = (
            f'Medians over interleaved pairs, {self.pairs} of metrics and inference, '
            f'{self.train_pairs} of training. EfficientNet-b4 with random weights at '
            f'{self.image_size} px, training at batch {self.batch_size}: the default '
            'conditioner from cached float16 features, the compat one from images, its '
            'backbone included and nothing recomputed. Saved memory is what autograd '
            'holds after the forward pass at batch 1, of the conditioner alone and '
            'without weights; in the backward pass, what a recomputed block holds '
            f'(compat_block_gib_per_image) comes on top. Metrics from {self.maps} maps '
            f'of {SIZE} px, {DEFECTIVE:.0%} of them with defects; AUPRO streaming '
            f'against {THRESHOLDS} thresholds, labelling included on both sides.'
        )
        for batch, reason in self._not_compiled.items():
            said += f' torch.compile failed at batch {batch}: {reason}.'
        return said

    def model(self, **conditioner: Any) -> Any:
        """Build the IUF of the presets with random weights."""
        init_default_scope('mmdefect')
        torch.manual_seed(0)
        cfg = Config.fromfile(self.configs / MODEL).model
        cfg.backbone.init_cfg = None
        if conditioner:
            cfg.conditioner = conditioner
        model: Any = MODELS.build(cfg)
        model.init_weights()
        return model

    def training_step(self, model: Any) -> Callable[[], Any]:
        """Return what trains a model by one iteration on a fixed batch.

        From images if the model needs them, else from what a feature cache holds.
        """
        model.train()
        cfg = Config.fromfile(self.configs / SCHEDULE).optim_wrapper
        wrapper = build_optim_wrapper(model, cfg)
        batch = self.random_batch(self.batch_size)
        if not model.needs_images:
            ready = model.data_preprocessor(batch)['inputs']
            batch['inputs'] = {'features': list(model.features(**ready).half())}
        return lambda: model.train_step(batch, wrapper)

    def random_batch(self, images: int, *, seed: int = 0) -> dict[str, Any]:
        """Return a batch as the pipelines make it, of as many products."""
        random = torch.Generator().manual_seed(seed)
        size = (self.image_size, self.image_size)
        pixels = torch.randint(256, (images, 3, *size), generator=random)
        samples = [
            AnomalySample(metainfo={'img_shape': size, 'class_label': label})
            for label in range(images)
        ]
        inputs = {'image': list(pixels.to(torch.uint8))}
        return {'inputs': inputs, 'data_samples': samples}

    def predictor(
        self, model: Any, batch: int, compiled: bool = False
    ) -> Callable[[], list[AnomalySample]]:
        """Return what judges preprocessed images, up to maps and scores."""
        model.eval()
        data = model.data_preprocessor(self.random_batch(batch))
        images, samples = data['inputs']['images'], data['data_samples']
        judge: Any = torch.compile(model, dynamic=False) if compiled else model

        @torch.no_grad()
        def run() -> list[AnomalySample]:
            return with_scores(judge(images, mode='tensor'), samples, model.score)

        return run

    def records(self) -> list[ImageRecord]:
        """Images that metrics are computed from."""
        return random_records(self.maps)

    def _training(self, progress: Progress | None = None) -> dict[str, float]:
        ours = self.training_step(self.model())
        compat = self.training_step(self.model(**COMPAT))
        times = interleaved(
            ours, compat, pairs=self.train_pairs, warmup=1, progress=progress
        )
        return speedup('train_default_cached/compat', times)

    def _inference(
        self, batch: int, progress: Progress | None = None
    ) -> dict[str, float]:
        model = self.model()
        eager = self.predictor(model, batch)
        try:
            compiled = self.predictor(model, batch, compiled=True)
            compiled()
        except Exception as error:  # whatever the compiler of this machine has to say
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self._not_compiled[batch] = reason[0].rstrip('.')
            compiled = eager
        times = interleaved(eager, compiled, pairs=self.pairs, progress=progress)
        found = images_per_s(f'infer_eager_b{batch}', batch, times.a)
        if batch not in self._not_compiled:
            found |= images_per_s(f'infer_compiled_b{batch}', batch, times.b)
        return found

    def _auroc(self, mode: str, progress: Progress | None = None) -> dict[str, float]:
        other = sklearn_auroc()
        records = self.records()
        scores, labels = flat_pixels(records, rounded=mode == 'streaming')
        arrays = labels.numpy(), scores.numpy()

        def ours() -> Tensor:
            if mode == 'exact':
                return auroc(scores, labels)
            return streamed(records).auroc()

        return self._compared(f'auroc_{mode}', ours, lambda: other(*arrays), progress)

    def _aupro(self, progress: Progress | None = None) -> dict[str, float]:
        records = self.records()
        maps, masks = stacked_pixels(records)
        return self._compared(
            'aupro',
            lambda: streamed(records).aupro(FPR_LIMIT),
            lambda: threshold_aupro(maps, masks),
            progress,
        )

    def _compared(
        self,
        name: str,
        ours: Callable[[], Any],
        other: Callable[[], Any],
        progress: Progress | None,
    ) -> dict[str, float]:
        """Time two ways to one number, and note how far they are apart."""
        difference = abs(float(ours()) - float(other()))
        times = interleaved(ours, other, pairs=self.pairs, warmup=0, progress=progress)
        return {**speedup(f'{name}_speedup', times), f'{name}_difference': difference}

    def _memory(self, progress: Progress | None = None) -> dict[str, float]:
        images = torch.randn(1, 3, self.image_size, self.image_size)
        ours, made = conditioner_memory(images, fused=True, recompute=True)
        plain, expected = conditioner_memory(images, fused=False, recompute=False)
        return {
            'compat_saved_gib_per_image': ours['model'],
            'compat_plain_saved_gib_per_image': plain['model'],
            'compat_block_gib_per_image': ours['block'],
            'compat_max_difference': max_difference(made, expected),
        }

    def _statistics(self, progress: Progress | None = None) -> dict[str, float]:
        batch = self.random_batch(2 * self.batch_size)
        pixels = batch['inputs']['image']
        items = [
            {'inputs': image, 'data_samples': sample}
            for image, sample in zip(pixels, batch['data_samples'], strict=True)
        ]
        first, second = statistics_megabytes(self.model(), items, steps=2)
        return {
            'statistics_mb_per_step': first,
            'statistics_mb_after_two_steps': second,
        }


def speedup(name: str, times: PairTimes) -> dict[str, float]:
    """Return how many times faster ``a`` is than ``b``, for a results file."""
    inverse = PairTimes(a=times.b, b=times.a).metrics(name)
    ours, other = f'{name}_ours_ms', f'{name}_other_ms'
    return {**inverse, ours: inverse[other], other: inverse[ours]}


def images_per_s(name: str, batch: int, seconds: tuple[float, ...]) -> dict[str, float]:
    """Return median and quartiles of a rate, as numbers of a results file."""
    rates = [batch / taken for taken in seconds]
    low, middle, high = statistics.quantiles(rates, n=4, method='inclusive')
    name = f'{name}_images_per_s'
    return {name: middle, f'{name}_q25': low, f'{name}_q75': high}
