"""Weight drift between two checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lab.drift import compare_checkpoints, drift_table


def save(path: Path, **weights: list[float]) -> Path:
    state = {name.replace('__', '.'): torch.tensor(w) for name, w in weights.items()}
    torch.save({'state_dict': state}, path)
    return path


def test_feature_only_weights_of_the_backbone(tmp_path: Path) -> None:
    frozen = save(
        tmp_path / 'frozen.pth',
        backbone__a=[1.0, 0.0],
        backbone__b=[0.0, 2.0],
        backbone__running_mean=[1.0],
        head__fc=[1.0],
    )
    tuned = save(
        tmp_path / 'tuned.pth',
        backbone__a=[0.0, 1.0],
        backbone__b=[0.0, 3.0],
        backbone__running_mean=[-1.0],
        head__fc=[-1.0],
    )
    drift = compare_checkpoints(frozen, tuned)
    assert drift.tensors == {'backbone.a': 0, 'backbone.b': 1}
    table = drift_table(drift)
    # 6 / sqrt(5 * 10), then what moved most.
    assert table.rows == [
        ('all', '0.8485'),
        ('backbone.a', '0.0000'),
        ('backbone.b', '1.0000'),
    ]


def test_exception_no_backbone(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.pth', head__fc=[1.0])
    with pytest.raises(ValueError, match="no weights that begin with 'backbone"):
        compare_checkpoints(path, path)
