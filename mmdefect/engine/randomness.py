"""Random numbers as a function of (seed, step, epoch, rank, worker), nothing else.

MMEngine stores no random state, and its workers repeat the same numbers in every epoch.
With the state derived anew at each epoch, a run that was killed and resumed draws the
same numbers as one that was not, without storing anything.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch

from mmdefect.registry import FUNCTIONS


def derive_seed(*parts: int) -> int:
    """Mix integers into one 32-bit seed; neighbouring inputs give unrelated seeds."""
    text = ','.join(str(int(part)) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], 'little')


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # seeds the GPUs too


@FUNCTIONS.register_module()
def seed_worker(worker_id: int, *, _scope_: str | None = None) -> None:
    """Seed Python and NumPy of a data loader worker (``worker_init_fn``).

    MMEngine hands over its mark of a ``mmdefect::`` base, too.

    A worker's torch seed is already the loader's base seed plus ``worker_id``, and the
    base seed is drawn from the generator that :class:`EpochSeedHook` has just seeded.
    """
    seed = derive_seed(torch.initial_seed() % 2**63, worker_id)
    random.seed(seed)
    np.random.seed(seed)
