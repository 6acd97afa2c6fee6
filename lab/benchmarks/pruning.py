"""How long pruning takes, and what it saves: scores, a whole sweep, latency."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor

from lab.benchmarks.naive_sweep import NaiveSweep
from mmdefect.functional.keep_counts import legacy_fractions
from mmdefect.pruning.channels.cost import measure_cost
from mmdefect.pruning.channels.groups import ChannelGroup, trace_groups
from mmdefect.pruning.channels.plan import ChannelPlan
from mmdefect.pruning.channels.rebuild import rebuild, reset_norms
from mmdefect.pruning.scoring.score import MaskedBatch, Scores, score_filters
from mmdefect.pruning.scoring.scorers import SegIoU
from mmdefect.pruning.sweep.features import ImageSet, extract_features
from mmdefect.pruning.sweep.greedy import GreedyPlanner
from mmdefect.pruning.sweep.keep import KeepPolicy
from mmdefect.pruning.sweep.probe import fit_probe
from mmdefect.pruning.sweep.run import forward_classifier
from mmdefect.pruning.sweep.settings import ProbeSettings
from mmdefect.testing.toy_cracks import draw_surface
from mmdefect.utils.timing import Progress

Measurement = Callable[[Progress | None], dict[str, float]]
SCOPE = 'mmpretrain'
ALEXNET = '_base_/models/cracks/ftl_alexnet.py'
VGG16 = '_base_/models/cracks/vgg16.py'
PROBE = ProbeSettings(standardize=False)
# Of FTL's 99 shares, those that are also swept the naive way: every eleventh.
NAIVE_STEP = 11
# Cracks have the id 1 in the drawn masks.
CRACK = 1


class PruningSuite:
    """Measurements of pruning, one by one.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Forward passes that are timed.
        image_size: Height and width of the images in pixels.
        batch_size: Images at a time.
        images: Images of the classification set; half of them show cracks.
        segmented: Images with masks.

    Attributes:
        comparisons: Name -> what measures it, and what belongs to it.
    """

    dataset = 'drawn cracks'

    def __init__(
        self,
        *,
        configs: str | Path,
        pairs: int = 50,
        image_size: int = 224,
        batch_size: int = 32,
        images: int = 400,
        segmented: int = 20,
    ) -> None:
        self.configs = Path(configs)
        self.pairs = pairs
        self.image_size = image_size
        self.batch_size = batch_size
        self.images = images
        self.segmented = segmented
        self._not_compiled = ''
        self.comparisons: dict[str, Measurement] = {
            'vgg16_score_seconds': self._score,
            'latency_dense/pruned': self._latency,
            'sweep_speedup_over_naive': self._naive,
            'legacy_sweep_minutes': self._sweep,
        }

    @property
    def notes(self) -> str:
        """What a reader of the numbers must know."""
        said = (
            f'{self.images} drawn images and {self.segmented} with masks, '
            f'{self.image_size} px, random weights. Scores: SegIoU as published, all '
            'convolutions of VGG16 at once. Sweep: FTL as published on its AlexNet, 99 '
            'networks, each scored greedily, rebuilt, its features taken in batches of '
            f'{self.batch_size} and a logistic regression fitted (9 strengths, 4 '
            'folds); images are decoded once and the first layer scored once. Naive, '
            'at every '
            f'{NAIVE_STEP}th share and compared there: images decoded for every '
            'network, every layer scored by whole forward passes, and the regression '
            'fitted on '
            'all features instead of in the space that the images span. Latency: batch '
            f'1, {self.pairs} forward passes, AlexNet as published at f=0.15.'
        )
        if self._not_compiled:
            said += f' torch.compile failed: {self._not_compiled}.'
        return said

    def classifier(self, base: str) -> Any:
        """Build a network of the configs for this image size, with random weights."""
        torch.manual_seed(0)
        cfg = Config.fromfile(self.configs / base).model
        cfg.backbone.pop('init_cfg', None)
        with DefaultScope.overwrite_default_scope(SCOPE):
            backbone: Any = MODELS.build(copy.deepcopy(cfg.backbone))
        backbone.eval()  # mmpretrain's VGG returns nothing here
        with torch.no_grad():
            width = backbone(self.blank())[-1].flatten(1).shape[1]
        cfg.head.in_channels = width
        cfg.data_preprocessor = {
            'mean': [103.939, 116.779, 123.68],
            'std': [1.0, 1.0, 1.0],
        }
        with DefaultScope.overwrite_default_scope(SCOPE):
            model: Any = MODELS.build(cfg)
        return model.eval()

    def blank(self) -> Tensor:
        """Return an image of zeros."""
        return torch.zeros(1, 3, self.image_size, self.image_size)

    def masked(self) -> list[MaskedBatch]:
        """Draw images that filters are scored on, levels 0 to 255."""
        drawn = [self._drawn(number) for number in range(self.segmented)]
        images = torch.stack([image.float() for image, _ in drawn])
        masks = torch.stack([mask for _, mask in drawn])
        labels = torch.zeros(len(drawn), dtype=torch.long)
        return [MaskedBatch(images=images, masks=masks, labels=labels)]

    def image_set(self) -> ImageSet:
        """Draw images for the classifiers, every other one with its crack removed."""
        images, labels = [], []
        for number in range(self.images):
            image, mask = self._drawn(1000 + number)
            background = number % 2
            if background:  # what a crack darkens, brightened to the mean
                image = torch.where(mask[None] > 0, image.float().mean(), image.float())
            images.append(image.to(torch.uint8))
            labels.append(background)
        paths = tuple(str(number) for number in range(self.images))
        return ImageSet(
            images=torch.stack(images), labels=torch.tensor(labels), paths=paths
        )

    def _drawn(self, seed: int) -> tuple[Tensor, Tensor]:
        image, ids = draw_surface(np.random.default_rng(seed), self.image_size)
        pixels = torch.from_numpy(image.clip(0, 255).astype(np.uint8))
        mask = torch.from_numpy((ids == CRACK).astype(np.uint8) * 255)
        return pixels.permute(2, 0, 1).contiguous(), mask

    def groups(self, model: Any) -> list[ChannelGroup]:
        """Trace what is pruned of a network."""
        layers = [
            f'backbone.{name}'
            for name, module in model.backbone.named_modules()
            if isinstance(module, torch.nn.Conv2d)
        ]
        return trace_groups(
            model, self.blank(), layers=layers, forward=forward_classifier
        )

    def planner(self, model: Any, batches: list[MaskedBatch]) -> GreedyPlanner:
        """Plan in FTL's greedy order."""
        return GreedyPlanner(
            model=model,
            groups=self.groups(model),
            policy=KeepPolicy(type='uniform_legacy'),
            score=lambda network, layer: [legacy_scores(network, batches, layer)],
        )

    def _score(self, progress: Progress | None = None) -> dict[str, float]:
        model = self.classifier(VGG16)
        layers = [group.name for group in self.groups(model)]
        batches = self.masked()
        begin = time.perf_counter()
        score_filters(model, batches, SegIoU(active='legacy'), layers)
        return {'vgg16_score_seconds': time.perf_counter() - begin}

    def _sweep(self, progress: Progress | None = None) -> dict[str, float]:
        model = self.classifier(ALEXNET)
        planner, images = self.planner(model, self.masked()), self.image_set()
        shares = legacy_fractions()
        seconds = [0.0, 0.0, 0.0]
        for done, share in enumerate(shares, start=1):
            taken, _ = sweep_one(model, planner, images, share, self.batch_size)
            seconds = [a + b for a, b in zip(seconds, taken, strict=True)]
            if progress is not None:
                progress(done, len(shares))
        plan, features, probe = (value / 60 for value in seconds)
        return {
            'legacy_sweep_minutes': plan + features + probe,
            'legacy_sweep_score_minutes': plan,
            'legacy_sweep_feature_minutes': features,
            'legacy_sweep_probe_minutes': probe,
        }

    def _naive(self, progress: Progress | None = None) -> dict[str, float]:
        model = self.classifier(ALEXNET)
        planner, images = self.planner(model, self.masked()), self.image_set()
        naive = NaiveSweep(
            model=model,
            groups=self.groups(model),
            batches=self.masked(),
            images=images,
            batch_size=self.batch_size,
            probe=PROBE,
        )
        shares = legacy_fractions()[NAIVE_STEP - 1 :: NAIVE_STEP]
        ours = theirs = 0.0
        for done, share in enumerate(shares, start=1):
            taken, plan = sweep_one(model, planner, images, share, self.batch_size)
            begin = time.perf_counter()
            other = naive.run(share)
            theirs += time.perf_counter() - begin
            ours += sum(taken)
            if plan.layers != other.layers:
                raise RuntimeError(
                    f'share={share:g}: expected the same network of both'
                )
            if progress is not None:
                progress(done, len(shares))
        return {
            'sweep_speedup_over_naive': theirs / ours,
            'sweep_speedup_over_naive_ours_ms': 1000 * ours,
            'sweep_speedup_over_naive_other_ms': 1000 * theirs,
        }

    def _latency(self, progress: Progress | None = None) -> dict[str, float]:
        model = self.classifier(ALEXNET)
        plan = self.planner(model, self.masked()).plan(0.15)
        small: Any = rebuild(model, plan)
        small.eval()
        networks = {'dense': model, 'pruned': small}
        found = self._latencies(networks, compiled=False)
        found['latency_dense/pruned'] = (
            found['dense_eager_p50_ms'] / found['pruned_eager_p50_ms']
        )
        try:
            found |= self._latencies(networks, compiled=True)
        except RuntimeError as error:
            self._not_compiled = str(error).partition('\n')[0]
        return found

    def _latencies(
        self, networks: dict[str, Any], *, compiled: bool
    ) -> dict[str, float]:
        kind, found = 'compiled' if compiled else 'eager', {}
        for name, network in networks.items():
            cost = measure_cost(
                network, self.image_size, runs=self.pairs, compiled=compiled
            )
            found[f'{name}_{kind}_p50_ms'] = cost.latency_ms_p50
            found[f'{name}_{kind}_p95_ms'] = cost.latency_ms_p95
        return found


def legacy_scores(model: Any, batches: list[MaskedBatch], layer: str) -> Scores:
    """Score one layer as FTL, computed no further than there."""
    scorer = SegIoU(active='legacy')
    return score_filters(model, batches, scorer, [layer], stop_after=layer)


def sweep_one(
    model: Any, planner: GreedyPlanner, images: ImageSet, share: float, batch: int
) -> tuple[list[float], ChannelPlan]:
    """Make a network of a sweep: seconds of scoring, of features, of the probe."""
    times = [time.perf_counter()]
    plan = planner.plan(share)
    small = rebuild(model, plan)
    reset_norms(small)
    times.append(time.perf_counter())
    features = extract_features(small, images, batch_size=batch)
    times.append(time.perf_counter())
    fit_probe(features, images.labels.numpy(), 2, PROBE, 0)
    times.append(time.perf_counter())
    return [b - a for a, b in pairwise(times)], plan
