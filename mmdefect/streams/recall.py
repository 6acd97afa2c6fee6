"""What was kept comes into the training data of a later step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mmdefect.streams.budget import Budget
from mmdefect.utils.config import innermost

PSEUDO_LABELS = 'pseudo_labels.json'
"""In the folder of a step: new kinds on the images that were kept before."""
# What mmdet's PackDetInputs hands on by default.
_PACKED = (
    'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
    'flip_direction',
)  # fmt: skip


def recall(
    cfg: Config,
    budget: Budget,
    folder: Path,
    *,
    classes: Sequence[str],
    seen_classes: Sequence[str],
) -> None:
    """Change the training data of a step.

    Args:
        cfg: Config of the step, changed in place.
        budget: What was kept, and how much of it comes into a batch.
        folder: Where it lies.
        classes: What it is of.
        seen_classes: Classes in label order.

    Raises:
        ValueError: The pipeline is not one that it could pass through.
    """
    place = {'folder': str(folder), 'classes': list(classes)}
    place['seen_classes'] = list(seen_classes)
    dataset = cfg.train_dataloader.dataset
    _refuse_outer_pipeline(dataset)
    if budget.crops is not None:
        _rehearse(innermost(dataset), place)
    else:
        if budget.interim is not None:
            labels = Path(cfg.get('work_dir', '')) / PSEUDO_LABELS
            place['pseudo_labels'] = str(labels)
        _replay(cfg.train_dataloader, place, budget)


def _replay(loader: ConfigDict, place: dict[str, Any], budget: Budget) -> None:
    """Have kept images beside the step's own in each batch."""
    own = innermost(loader.dataset)
    memory = {
        'type': 'mmdefect.MemoryDataset',
        **place,
        'cache_gb': own.get('cache_gb', 0),
        'pipeline': own.get('pipeline', []),
    }
    loader.dataset = {
        'type': 'mmdefect.ReplayDataset',
        'dataset': loader.dataset,
        'memory': memory,
    }
    loader.batch_sampler = {
        'type': 'mmdefect.ReplayBatchSampler',
        'replayed': budget.replayed(loader.batch_size),
        'batches': loader.get('batch_sampler'),
        'drop_last': loader.pop('drop_last', False),
    }


def _rehearse(dataset: ConfigDict, place: dict[str, Any]) -> None:
    """Have kept crops in the step's own images, and the marks of these packed."""
    steps = list(dataset.get('pipeline', []))
    names = [str(step['type']).rpartition('.')[2] for step in steps]
    if not {'LoadAnnotations', 'PackDetInputs'} <= set(names):
        raise ValueError(
            f'stream.memory.crops with a pipeline of {", ".join(names) or "nothing"}: '
            'expected LoadAnnotations, after which crops come in, and PackDetInputs; '
            'keep images instead, or use these'
        )
    pack = dict(steps[names.index('PackDetInputs')])
    pack['meta_keys'] = (*pack.get('meta_keys', _PACKED), 'rehearsed', 'replayed')
    steps[names.index('PackDetInputs')] = pack
    crops = {'type': 'mmdefect.RehearseCrops', **place}
    steps.insert(names.index('LoadAnnotations') + 1, crops)
    dataset.pipeline = steps


def _refuse_outer_pipeline(dataset: ConfigDict) -> None:
    """Refuse a pipeline that what was kept would not pass through."""
    while 'dataset' in dataset:
        if dataset.get('pipeline'):
            raise ValueError(
                f'stream.memory with a pipeline of {dataset.type}: expected all of it '
                'in the dataset within, which remembered images pass through; move '
                'it there, or leave stream.memory out'
            )
        dataset = dataset.dataset
