"""Train and test a model with a frozen backbone from cached features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdefect.engine.feature_store import CachedItems, FeatureStore, fill
from mmdefect.registry import HOOKS
from mmdefect.utils.checks import some_of
from mmdefect.utils.modules import unwrapped, weights_digest


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Computes the features of every image once, before training and before testing.

    For a model with ``features``, a frozen module, and a pipeline without randomness:
    the images are then neither decoded nor run again, epoch after epoch. Features are
    kept as float16 and belong to the content of the file, the transforms and the
    weights of the backbone: change one and they are computed anew.

    Args:
        folder: Keeps features on disk below it, so that later steps, seeds and streams
            find them; ``None`` keeps them in memory only.
        max_gb: Most memory for features and masks of the training set, and again for
            those of the test set.
        batch_size: Images that are computed together.
        bfloat16: Compute in bfloat16 where torch can, two to three times faster on
            CPUs that have it; features lose digits that float16 would keep.

    Raises:
        ValueError: Before training or testing, if the backbone is not frozen or a
            transform is random.
        MemoryError: The features do not fit.
    """

    def __init__(
        self,
        *,
        folder: str | None = None,
        max_gb: float = 2.0,
        batch_size: int = 16,
        bfloat16: bool = False,
    ) -> None:
        self.folder = folder
        self.max_gb = max_gb
        self.batch_size = batch_size
        self.bfloat16 = bfloat16

    def before_train(self, runner: Runner) -> None:
        """Replace the training pipeline."""
        self._cache(runner, runner.train_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Replace the test pipeline."""
        self._cache(runner, runner.test_dataloader.dataset)

    def _cache(self, runner: Runner, dataset: Any) -> None:
        while not hasattr(dataset, 'pipeline') and hasattr(dataset, 'dataset'):
            dataset = dataset.dataset  # such as a RepeatDataset
        if isinstance(dataset.pipeline, CachedItems):
            return
        model: Any = unwrapped(runner)
        check_frozen(model)
        begin = time.monotonic()
        store = FeatureStore(
            key=cache_key(model, dataset, bfloat16=self.bfloat16),
            folder=self.folder,
            max_gb=self.max_gb,
        )

        def extract(images: Sequence[Tensor]) -> Tensor:
            moved = [image.to(next(model.parameters()).device) for image in images]
            ready = model.data_preprocessor.normalise(moved)
            kind = ready.device.type
            with torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16):
                return model.features(ready)

        def progress(done: int, total: int) -> None:
            if done % 500 == 0 and done < total:
                runner.logger.info(f'feature cache: {done} of {total} images')

        dataset.pipeline = fill(
            dataset,
            store,
            extract,
            with_image=model.needs_images,
            batch_size=self.batch_size,
            progress=progress,
        )
        runner.logger.info(
            f'feature cache: {len(store)} images in {time.monotonic() - begin:.1f} s, '
            f'{store.computed} of them computed now'
        )


def cache_key(model: Any, dataset: Any, *, bfloat16: bool = False) -> str:
    """All that features depend on besides the file, as text."""
    preprocessor, backbone = model.data_preprocessor, model.features.backbone
    lines = [
        *map(_described, dataset.pipeline.transforms),
        f'mean {preprocessor.mean.flatten().tolist()}',
        f'std {preprocessor.std.flatten().tolist()}',
        f'grid {model.features.grid}',
        *_pooling(model.features),
        f'{type(backbone).__name__} {getattr(backbone, "out_indices", "")}',
        weights_digest(model.features),
        *(['bfloat16'] if bfloat16 else []),
    ]
    return '\n'.join(lines)


def _pooling(features: Any) -> list[str]:
    # Entries from before there was a choice stay what they are.
    pool = getattr(features, 'pool', None)
    return [] if pool is None else [f'pool {pool}']


def _described(transform: Any) -> str:
    # Not its repr, which without a definition is an address in memory.
    settings = ', '.join(f'{k}={v!r}' for k, v in sorted(vars(transform).items()))
    return f'{type(transform).__name__}({settings})'


def check_frozen(model: Any) -> None:
    """Refuse a model whose features change while it learns.

    Raises:
        ValueError: It has no ``features``, or something in them learns.
    """
    features = getattr(model, 'features', None)
    if features is None or not hasattr(model, 'needs_images'):
        raise ValueError(
            f'model.type={type(model).__name__} with FeatureCacheHook: expected a '
            'model with frozen features, such as mmdefect.IUF'
        )
    learning = [name for name, p in features.named_parameters() if p.requires_grad]
    if learning:
        raise ValueError(
            f'the feature cache is on and the backbone learns ({some_of(learning, 1)}):'
            ' expected a frozen one; freeze it, or remove FeatureCacheHook from the '
            'hooks'
        )
