"""A memory of two processes; slow because torchrun starts three."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import HELPERS
from tests.helpers.ranks import run_ranks


@pytest.mark.slow
def test_feature_two_processes_are_one(warm: Path, tmp_path: Path) -> None:
    """Each has seen half of the images: the banks are those of one process."""
    script = HELPERS / 'memory_ranks.py'
    for processes in (1, 2):
        run_ranks(script, tmp_path, processes=processes, programs=warm)
    one, first, second = (
        torch.load(tmp_path / f'{name}.pth') for name in ('1_0', '2_0', '2_1')
    )
    assert len(one['banks.1.vectors']) == 30
    for key, value in one.items():
        assert torch.equal(first[key], value), key
        assert torch.equal(second[key], value), key
