"""Full disks and small shared memory are found before anything is trained."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader, Dataset

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks import room
from mmdefect.engine.hooks.room import check_shared_memory, checkpoint_bytes

Usage = namedtuple('Usage', 'total used free')
HOOK = {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set what is free everywhere, in bytes."""

    def set_free(size: int) -> None:
        monkeypatch.setattr(shutil, 'disk_usage', lambda _: Usage(size, 0, size))

    return set_free


def test_exception_a_full_disk_before_training(
    make_runner: Callable[..., Runner], tmp_path: Path, free: Callable[[int], None]
) -> None:
    runner = guarded(make_runner(epochs=2, checkpoint=HOOK))
    free(19)
    message = r'work has 0\.0 MB free: expected 0\.0 MB for a checkpoint of this model'
    with pytest.raises(OSError, match=message):
        runner.train()
    assert not list((tmp_path / 'work').glob('epoch*'))


def test_exception_a_disk_that_fills_up(
    make_runner: Callable[..., Runner], tmp_path: Path, free: Callable[[int], None]
) -> None:
    """The next checkpoint is as large as the last one; nothing of it is begun."""
    runner = guarded(make_runner(epochs=3, checkpoint=HOOK))

    class Fill(Hook):
        def after_train_epoch(self, runner: Runner) -> None:
            free(1000 if runner.epoch == 1 else 1 << 30)

    runner.register_hook(Fill())
    message = (
        r'work has 0\.0 MB free: expected 0\.0 MB for epoch_2\.pth; free some space, '
        'and continue with --resume'
    )
    with pytest.raises(OSError, match=message):
        runner.train()
    files = {path.name for path in (tmp_path / 'work').glob('*epoch*')}
    assert files == {'epoch_1.pth', 'epoch_1.pth.sha256'}
    free(1 << 30)
    resumed = guarded(make_runner(epochs=3, checkpoint=HOOK, resume=True))
    resumed.train()
    assert resumed.iter == 6


@pytest.mark.parametrize(
    ('optimizer', 'numbers'),
    [
        ({'type': 'SGD', 'lr': 0.1}, 5),
        ({'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}, 10),
        ({'type': 'AdamW', 'lr': 0.1}, 15),
    ],
)
def test_feature_size_of_a_checkpoint(
    optimizer: dict[str, Any], numbers: int, make_runner: Callable[..., Runner]
) -> None:
    """Four weights and a bias, as often as the optimizer keeps them."""
    runner = make_runner(
        epochs=1, checkpoint=HOOK, optim_wrapper={'optimizer': optimizer}
    )
    runner.train()
    assert checkpoint_bytes(runner) == 4 * numbers


class Images(Dataset):
    """A picture of 3 x 100 x 100 and a mask, packed as OpenMMLab does: 50,000 bytes."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = BaseDataElement(metainfo={'img_path': 'a.png'})
        sample.mask = torch.zeros(1, 100, 200, dtype=torch.uint8)
        boxes = SimpleNamespace(tensor=torch.zeros(0, 4))
        inputs = torch.zeros(3, 100, 100, dtype=torch.uint8)
        return {'inputs': inputs, 'data_samples': sample, 'gt': [boxes, 'text', 1]}


def test_exception_small_shared_memory(
    free: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two batches a worker and one in use: (1 + 2 * workers) * 8 * 50,000 bytes."""
    monkeypatch.setattr(room, 'SHARED', tmp_path)
    loader = DataLoader(Images(), batch_size=8, num_workers=2)
    free(2_000_000)
    check_shared_memory(loader, 'x')
    free(1_999_999)
    message = (
        r'^train_dataloader\.num_workers=2: expected at most 1 here, as .* has 2\.0 '
        r'MB free and their batches take 2\.0; set fewer, or start the container with'
    )
    with pytest.raises(ValueError, match=message):
        check_shared_memory(loader, 'train_dataloader')
    check_shared_memory(DataLoader(Images(), batch_size=8), 'x')  # no workers
    monkeypatch.setattr(room, 'SHARED', tmp_path / 'none')
    check_shared_memory(loader, 'x')


@pytest.mark.parametrize('mode', ['val', 'test'])
def test_feature_each_loader_is_looked_at_once(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(room, 'check_shared_memory', lambda _, name: seen.append(name))
    runner: Any = SimpleNamespace(val_dataloader=None, test_dataloader=None)
    hook = room.RoomHook()
    for _ in range(2):
        getattr(hook, f'before_{mode}')(runner)
    assert seen == [f'{mode}_dataloader']
