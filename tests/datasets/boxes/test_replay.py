"""Remembered images beside the step's own."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmdefect.datasets.boxes.memory_file import Memory, Remembered, write_memory
from mmdefect.datasets.boxes.replay import (
    MemoryDataset,
    ReplayBatchSampler,
    ReplayDataset,
)

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]
SEEN = ['dent', 'hole', 'rust']


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of step 0, each with a hole, the last with an ignored dent."""
    images, paths = [], []
    for k in range(3):
        path = tmp_path / f'{k}.png'
        cv2.imwrite(str(path), np.full((12, 16, 3), 40 * k, np.uint8))
        boxes = [{'bbox': [1, 2, 9, 8], 'class': 'hole', 'ignore': 0}]
        if k == 2:
            boxes.append({'bbox': [2, 2, 5, 5], 'class': 'dent', 'ignore': 1})
        about = {'kept_for': 'hole', 'step': 0, 'source': path.name, 'bytes': 0}
        images.append(Remembered(**about, width=16, height=12, boxes=boxes))
        paths.append(path)
    settings = {'step': 0, 'classes': SEEN[:2], 'budget': {'images': 3}, 'seed': 0}
    write_memory(tmp_path / 'memory', Memory(**settings, images=images), paths)
    return tmp_path / 'memory'


def memory_of(folder: Path, **more: Any) -> MemoryDataset:
    about = {'classes': SEEN[:2], 'seen_classes': SEEN, 'pipeline': PIPELINE}
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MemoryDataset(folder=str(folder), **{**about, **more})


class Own:
    """A step's own images: numbers."""

    metainfo: ClassVar[dict] = {'classes': SEEN}

    def __init__(self, number: int = 10) -> None:
        self.number = number

    def full_init(self) -> None: ...

    def __len__(self) -> int:
        return self.number

    def get_data_info(self, idx: int) -> dict:
        return {'width': 4, 'height': 4 + idx % 2, 'own': idx}

    def __getitem__(self, idx: int) -> dict:
        return {'own': idx}


@pytest.mark.parametrize('cache_gb', [0, 1])
def test_feature_samples(folder: Path, cache_gb: float) -> None:
    """Global labels, a mark, and the pixels of the file."""
    dataset = memory_of(folder, cache_gb=cache_gb)
    assert len(dataset) == 3
    assert dataset.metainfo['classes'] == tuple(SEEN)
    sample = dataset[1]
    assert sample['inputs'].shape == (3, 12, 16)
    assert sample['inputs'].unique().tolist() == [40]
    found = sample['data_samples']
    assert found.metainfo['replayed'] is True
    assert found.gt_instances.labels.tolist() == [1]
    assert found.gt_instances.bboxes.tensor.tolist() == [[1, 2, 9, 8]]
    ignored = dataset[2]['data_samples'].ignored_instances
    assert ignored.labels.tolist() == [0]


def test_feature_behind_the_own_ones(folder: Path) -> None:
    data = ReplayDataset(dataset=Own(), memory=memory_of(folder))
    assert len(data) == 10
    assert data[9] == {'own': 9}
    assert data[11]['data_samples'].metainfo['replayed']
    assert data.get_data_info(3)['own'] == 3
    assert data.get_data_info(12)['width'] == 16
    assert data.metainfo['classes'] == SEEN


class Order:
    """A sampler of a process, as MMEngine's DefaultSampler."""

    def __init__(self, dataset: Any, rank: int = 0, world_size: int = 1) -> None:
        self.dataset, self.rank, self.world_size = dataset, rank, world_size
        self.seed, self.epoch = 5, 0

    def __iter__(self) -> Any:
        return iter(range(self.rank, len(self.dataset), self.world_size))

    def __len__(self) -> int:
        return len(range(self.rank, len(self.dataset), self.world_size))


class Both:
    """Lengths of a ReplayDataset."""

    def __init__(self, own: int, memory: int) -> None:
        self.own, self.memory = own, range(memory)

    def __len__(self) -> int:
        return self.own


class TestBatches:
    def batches(self, replayed: int = 2, size: int = 4, **more: Any) -> list[list[int]]:
        order = Order(Both(10, 3), **more)
        return [*ReplayBatchSampler(order, size, replayed=replayed)]

    def test_feature_own_ones_first(self) -> None:
        batches = self.batches()
        assert [batch[:-2] for batch in batches] == [
            [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
        ]  # fmt: skip
        drawn = [index for batch in batches for index in batch[-2:]]
        assert sorted(drawn[:3]) == [10, 11, 12]  # all, before one comes again
        assert sorted(drawn[3:]) == [10, 11, 12]
        assert self.batches() == batches

    def test_feature_epochs_differ(self) -> None:
        order = Order(Both(40, 9))
        sampler = ReplayBatchSampler(order, 4, replayed=2)
        first = [*sampler]
        order.epoch = 1
        assert [*sampler] != first
        order.epoch = 0
        assert [*sampler] == first

    def test_feature_two_processes_share_an_order(self) -> None:
        """Together they draw what one process of twice the batch draws."""
        whole = self.batches(replayed=4, size=8)
        shares = [self.batches(rank=rank, world_size=2) for rank in (0, 1)]
        for batch, *parts in zip(whole, *shares, strict=False):
            assert sorted(batch) == sorted(index for part in parts for index in part)

    def test_feature_drop_last(self) -> None:
        order = Order(Both(10, 3))
        sampler = ReplayBatchSampler(order, 4, replayed=1, drop_last=True)
        assert len(sampler) == len([*sampler]) == 2

    def test_exception_none(self) -> None:
        with pytest.raises(ValueError, match=r'replayed=0: expected at least 1'):
            ReplayBatchSampler(Order(Both(10, 3)), 4, replayed=0)


def test_feature_loader(folder: Path) -> None:
    """As MMEngine builds it, with mmdet's groups of one orientation."""
    memory = dict(type='mmdefect.MemoryDataset', folder=str(folder), pipeline=PIPELINE)
    memory |= dict(classes=SEEN[:2], seen_classes=SEEN)
    settings = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='pseudo_collate'),
        batch_sampler=dict(
            type='mmdefect.ReplayBatchSampler',
            replayed=1,
            batches=dict(type='AspectRatioBatchSampler'),
        ),
        dataset=dict(
            type='mmdefect.ReplayDataset', dataset=memory, memory=dict(memory)
        ),
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        loader = Runner.build_dataloader(settings, seed=0)
    assert len(loader) == 2
    samples = [batch['data_samples'] for batch in islice(loader, 2)]
    assert [len(batch) for batch in samples] == [3, 2]
    assert torch.is_tensor(samples[0][-1].gt_instances.labels)
