"""The networks of a run: names, files, and what is finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmdefect.utils.files import in_one_piece

DENSE, PARENT = 'dense', 'parent'
TEST = 'test'  # the set of test_dataloader
PLAN, WEIGHTS, FEATURES = 'plan.json', 'weights.pth', 'features_train.npy'
PROBE, PROBED = 'probe.json', 'probed.pth'
CLASSIFIER, CONFIG = 'classifier.pth', 'classifier.py'
RESULT, RECOVERY, AGAIN = 'result.json', 'recovery', 'trained_again'
SUMMARY = 'summary.json'  # of all networks, in the work dir itself


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One network.

    Attributes:
        name: ``'dense'`` or, for example, ``'fraction-0.20'``.
        size: Share of channels or of the budget; ``None`` of the whole network.
        folder: Its files.
    """

    name: str
    size: float | None
    folder: Path

    @property
    def dense(self) -> bool:
        """Whether it is the whole network."""
        return self.size is None

    def path(self, file: str) -> Path:
        """One of its files."""
        return self.folder / file

    def has(self, *files: str) -> bool:
        """Whether a stage has written all of its files."""
        return all(self.path(file).is_file() for file in files)


def save_weights(weights: Mapping[str, Any], path: Path) -> None:
    """Write a state dict in one piece: a kill leaves no half file."""
    with in_one_piece(path, lasting=True) as draft:
        torch.save({'state_dict': dict(weights)}, draft)
