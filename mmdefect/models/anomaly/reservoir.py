"""An even sample of patches, bounded, and the same in whatever order they came."""

from __future__ import annotations

import hashlib
from pathlib import PurePath

import torch
from torch import Tensor


def image_key(path: str) -> str:
    """What tells an image of a product apart, wherever its dataset lies.

    Example:
        >>> image_key('/data/products/bottle/train/good/000.png')
        'train/good/000.png'
    """
    return '/'.join(PurePath(path).parts[-3:])


def numbers_of(key: str, count: int) -> Tensor:
    """A number in [0, 1) for each patch of an image; hangs on the key alone.

    Args:
        key: What tells the image apart.
        count: How many patches it has.

    Returns:
        float64, shape ``(count,)``.
    """
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], 'big', signed=True)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64)


class PatchReservoir:
    """Keeps the patches with the lowest numbers, see :func:`numbers_of`.

    Which ones these are depends on the images, not on their order: several processes
    that bring theirs together keep what one process would. Half as many again are held
    while patches come in.

    Args:
        limit: How many are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._held = 0
        self._highest = 1.0

    def __len__(self) -> int:
        self._settle()
        return self._held

    @property
    def patches(self) -> Tensor:
        """What is kept, in the order of the numbers, shape ``(N, C)``."""
        return self._settle()[1]

    @property
    def places(self) -> Tensor:
        """Where each kept patch lies in its image, shape ``(N,)``."""
        return self._settle()[2]

    def add(self, key: str, patches: Tensor, places: Tensor | None = None) -> None:
        """Look at the patches of an image.

        Args:
            key: What tells the image apart; a second one of the same key is passed
                over.
            patches: Shape ``(N, C)``.
            places: Of each patch, ``(N,)``; its index by default.
        """
        if places is None:
            places = torch.arange(len(patches))
        self._keep(numbers_of(key, len(patches)), patches, places)

    def merge(self, other: PatchReservoir) -> None:
        """Add what another one has kept; what both have counts once."""
        self._keep(*other._settle())

    def _keep(self, numbers: Tensor, patches: Tensor, places: Tensor) -> None:
        low = numbers < self._highest  # others have no place any more
        if not bool(low.any()):
            return
        self._parts.append((numbers[low], patches[low], places[low].int()))
        self._held += int(low.sum())
        if self._held > 1.5 * self.limit:
            self._settle()

    def _settle(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sort what is held, and let go of what is beyond the limit."""
        if len(self._parts) != 1:
            none = (torch.zeros(0, dtype=torch.float64), torch.zeros(0, 0))
            parts = self._parts or [(*none, torch.zeros(0, dtype=torch.int32))]
            numbers, patches, places = map(torch.cat, zip(*parts, strict=True))
            self._parts = [(numbers, patches, places)]
        numbers, patches, places = self._parts[0]
        ascending, order = numbers.sort(stable=True)
        new = torch.ones_like(ascending, dtype=torch.bool)
        new[1:] = ascending[1:] != ascending[:-1]  # twins have equal numbers
        kept = order[new][: self.limit]
        if not torch.equal(kept, torch.arange(len(numbers))):
            numbers, patches, places = numbers[kept], patches[kept], places[kept]
            self._parts = [(numbers, patches, places)]
        self._held = len(numbers)
        if self._held == self.limit:
            self._highest = float(numbers[-1])
        return numbers, patches, places
