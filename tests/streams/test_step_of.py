"""What a checkpoint says of its step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmdefect.streams.checkpoints import step_of


def saved(folder: Path, meta: Any) -> Path:
    torch.save({'state_dict': {'w': torch.ones(1)}, 'meta': meta}, folder / 'x.pth')
    return folder / 'x.pth'


def test_smoke(tmp_path: Path) -> None:
    assert step_of(saved(tmp_path, {'stream': {'step': 1}}), steps=2) == 1


@pytest.mark.parametrize(
    'meta', [None, {}, {'stream': [1]}, {'stream': {'step': '1'}}, {'stream': {}}]
)
def test_exception_no_step(meta: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'x\.pth does not say which step it belongs'):
        step_of(saved(tmp_path, meta), steps=2)


@pytest.mark.parametrize('step', [-1, 2])
def test_exception_another_stream(step: int, tmp_path: Path) -> None:
    message = f'x.pth belongs to step {step}, but the config has steps 0 to 1'
    with pytest.raises(ValueError, match=message):
        step_of(saved(tmp_path, {'stream': {'step': step}}), steps=2)
