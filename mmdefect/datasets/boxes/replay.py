"""Training data beside which images of earlier steps come again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import BaseDetDataset
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS as ALL_SAMPLERS
from torch.utils.data import BatchSampler, Dataset, Sampler

from mmdefect.datasets.boxes.memory_file import Remembered, read_memory
from mmdefect.datasets.cached import CachedImages
from mmdefect.registry import DATA_SAMPLERS, DATASETS
from mmdefect.utils.checks import check_range
from mmdefect.utils.text_files import read_json


@DATASETS.register_module()
class MemoryDataset(CachedImages, BaseDetDataset):
    """Images that earlier steps have kept, with their labels.

    Samples are marked: ``data_samples.metainfo['replayed']`` is True. Their labels are
    indices into ``seen_classes``.

    Args:
        folder: Of the memory; see :mod:`mmdefect.datasets.boxes.memory_file`.
        classes: Classes that the memory has to be of: those before the step.
        seen_classes: Classes in label order.
        pseudo_labels: JSON file of boxes that are labelled as well, by file of the
            memory, as :mod:`mmdefect.streams.pseudo_labels` writes it.
        cache_gb: Memory for decoded images in gigabytes; 0 for none.
        kwargs: As for mmdet's ``BaseDetDataset``, such as ``pipeline``.

    Raises:
        FileNotFoundError: If the manifest or an image is gone.
        ValueError: If an image has changed, or the memory is of other classes.
    """

    def __init__(
        self,
        *,
        folder: str,
        classes: Sequence[str],
        seen_classes: Sequence[str],
        pseudo_labels: str | None = None,
        cache_gb: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.folder = Path(folder)
        self.pseudo_labels = pseudo_labels
        self.classes = list(classes)
        self.cache_gb = cache_gb
        self._cache: dict[str, np.ndarray] = {}
        metainfo = {'classes': tuple(seen_classes)}
        super().__init__(metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the manifest.

        Returns:
            mmdet's data infos, as of :class:`DefectDetDataset`.
        """
        memory = read_memory(self.folder, self.classes)
        if not memory.images:
            raise ValueError(
                f'{self.folder} holds no image: expected one or more; remove the '
                'folder to choose anew'
            )
        print_log(
            f'{type(self).__name__} {self.folder}: {len(memory.images)} images of '
            f'earlier steps, {memory.bytes / 1000:.0f} kB.',
            logger='current',
        )
        more: dict[str, Any] = {}
        if self.pseudo_labels is not None:
            more = read_json(Path(self.pseudo_labels), 'pseudo-labels')['boxes']
        return [self._info(i, more.get(i.file, ())) for i in memory.images]

    def _info(
        self, image: Remembered, more: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        labels = {name: k for k, name in enumerate(self.metainfo['classes'])}
        instances = [
            {
                'bbox': list(box['bbox']),
                'bbox_label': labels[box['class']],
                'ignore_flag': box.get('ignore', 0),
            }
            for box in [*image.boxes, *more]
        ]
        return {
            'img_path': str(self.folder / image.file),
            'img_id': image.file,
            'width': image.width,
            'height': image.height,
            'instances': instances,
            **image.reading,
        }

    def prepare_data(self, idx: int) -> Any:
        """Run the pipeline on an image and mark what comes out."""
        sample = super().prepare_data(idx)
        if sample is not None:
            sample['data_samples'].set_metainfo({'replayed': True})
        return sample


@DATASETS.register_module()
class ReplayDataset(Dataset):
    """A dataset that has remembered images behind its own.

    Its length, and so an epoch, is that of ``dataset``; :class:`ReplayBatchSampler`
    reaches the images behind.

    Args:
        dataset: What the step learns; a dataset or the config of one.
        memory: A :class:`MemoryDataset` or the config of one.
        lazy_init: Whether to wait with reading both.
    """

    def __init__(
        self,
        *,
        dataset: BaseDataset | Mapping[str, Any],
        memory: BaseDataset | Mapping[str, Any],
        lazy_init: bool = False,
    ) -> None:
        self.dataset, self.memory = _built(dataset), _built(memory)
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the step's own dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read what both are made of."""
        self.dataset.full_init()
        self.memory.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def _at(self, idx: int) -> tuple[BaseDataset, int]:
        own = len(self.dataset)
        return (self.dataset, idx) if idx < own else (self.memory, idx - own)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return the data info of an image; remembered ones follow the others."""
        dataset, at = self._at(idx)
        return dataset.get_data_info(at)

    def __getitem__(self, idx: int) -> Any:
        dataset, at = self._at(idx)
        return dataset[at]


def _built(dataset: Any) -> Any:
    return DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset


@DATA_SAMPLERS.register_module()
class ReplayBatchSampler(BatchSampler):
    """Adds remembered images to each batch of a :class:`ReplayDataset`.

    All of them are drawn before one comes again. Which come is a function of the
    sampler's seed, its epoch and the batch, so a resumed run draws the same; processes
    share one order.

    Args:
        sampler: Of the step's own images.
        batch_size: Own images of a batch.
        replayed: Remembered images beside them.
        batches: Config of the batch sampler that groups the step's own images; by
            default they are taken as they come.
        drop_last: Whether to leave out a batch of fewer own images.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        *,
        replayed: int,
        batches: Mapping[str, Any] | None = None,
        drop_last: bool = False,
    ) -> None:
        check_range('replayed', replayed, 1)
        super().__init__(sampler, batch_size, drop_last)
        self.replayed = replayed
        inner = dict(batches or {'type': BatchSampler})
        inner.setdefault('drop_last', drop_last)
        given = {'sampler': sampler, 'batch_size': batch_size}
        self.batches = ALL_SAMPLERS.build({**inner, **given})

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        data: Any = self.sampler
        rank, world = getattr(data, 'rank', 0), getattr(data, 'world_size', 1)
        drawn = islice(self._drawn(), rank, None, world)
        for batch in self.batches:
            yield [*batch, *islice(drawn, self.replayed)]

    def _drawn(self) -> Iterator[int]:
        """Indices of remembered images, without end."""
        data: Any = self.sampler
        first, number = len(data.dataset), len(data.dataset.memory)
        seeds = [getattr(data, 'seed', 0), getattr(data, 'epoch', 0)]
        rng = np.random.default_rng(seeds)
        while True:
            yield from (first + int(k) for k in rng.permutation(number))
