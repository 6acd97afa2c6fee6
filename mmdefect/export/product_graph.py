"""A memory of many products as one graph, whose cost does not hang on their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# Added to what may not be compared; distances of features stay far below its root.
_FAR = 1e30


class ProductGraph(nn.Module):
    """What a ``ProductMemory`` computes.

    Banks are filled up to the size of the largest, and those of an image's product are
    gathered: an image is compared with one bank, however many there are.

    Args:
        model: Trained; what it remembers is read once, here.

    Raises:
        ValueError: A product is not learned, or the model compares with all of them.
    """

    centers: Tensor
    reach: Tensor
    mean: Tensor
    basis: Tensor
    scale: Tensor
    vectors: Tensor
    squares: Tensor
    places: Tensor
    window: Tensor
    decided: Tensor
    limit: Tensor
    gain: Tensor
    shift: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        _check(model)
        self.model = model
        self.recipe = model.recipe
        self.margin = math.inf if model.margin is None else float(model.margin)
        banks = [*model.banks]
        spaces = [_space_of(bank) for bank in banks]
        lengths = torch.tensor([len(bank.vectors) for bank in banks])
        vectors = _filled([bank.vectors.float() for bank in banks])
        squares = vectors.square().sum(dim=2)
        empty = torch.arange(squares.shape[1]) >= lengths[:, None]
        alarms = model.alarms()
        limits = [1.0 if found is None else found.threshold for found in alarms]
        tiny = torch.finfo(torch.float32).tiny
        windows = [model.features.grid if b.window is None else b.window for b in banks]
        self.windowed = any(bank.window is not None for bank in banks)
        even = [_even(bank, model.features.grid**2) for bank in banks]
        held = {
            'gain': torch.stack([gain for gain, _ in even]),
            'shift': torch.stack([shift for _, shift in even]),
            'centers': torch.stack([bank.embedding for bank in banks]),
            'reach': torch.cat([bank.reach for bank in banks]),
            'mean': torch.stack([bank.mean for bank in banks]),
            'basis': _filled([basis for basis, _ in spaces]),
            'scale': _filled([scale for _, scale in spaces]),
            'vectors': vectors,
            'squares': squares.masked_fill(empty, _FAR),
            'places': _filled([bank.places.long() for bank in banks]),
            'window': torch.tensor(windows),
            'decided': torch.tensor([found is not None for found in alarms]),
            'limit': torch.tensor(limits).clamp(min=tiny),
        }
        for name, value in held.items():
            self.register_buffer(name, value.cpu(), persistent=False)

    def forward(self, images: Tensor, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps, scores and products.

        Args:
            images: Shape ``(B, 3, H, W)``.
            told: Product that each shows, int64, ``(B,)``; -1 where nobody knows.

        Returns:
            ``maps`` ``(B, grid, grid)`` and ``scores`` ``(B,)``, 1 at the alarm, and
            ``products`` ``(B,)`` int64, -1 of an unknown one.
        """
        patches = self.model.patches({'images': images})
        distances, nearest = self._nearest_product(patches)
        product = torch.where(told < 0, nearest, told)
        found = self._distances(patches, product)
        alike = (found * self.gain[product] + self.shift[product]).clamp(min=0)
        maps = alike / self.limit[product][:, None]
        # Near a product, or mostly as its good images are.
        near = distances <= self.margin * self.reach[nearest]
        good = (maps <= 1).float().mean(dim=1) >= 0.5
        known = (told >= 0) | near | (good & self.decided[product])
        seen = torch.where(known, product, torch.full_like(product, -1))
        side = self.model.features.grid
        return maps.unflatten(1, (side, side)), self.recipe.scores(maps), seen

    def _nearest_product(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self.model.embeddings(patches)
        apart = (embeddings[:, None] - self.centers).norm(dim=2)
        found = apart.min(dim=1)
        return found.values, found.indices

    def _distances(self, patches: Tensor, product: Tensor) -> Tensor:
        """How unlike its product each patch is, ``(B, N)``."""
        centred = patches - self.mean[product][:, None]
        basis = self.basis[product]
        found = centred @ basis
        if self.recipe.search == 'subspace':
            return (centred - found @ basis.transpose(1, 2)).norm(dim=2)
        points = found * self.scale[product][:, None]
        if self.recipe.search == 'gaussian':
            return points.norm(dim=2)
        vectors = self.vectors[product]
        apart = self.squares[product][:, None] - 2 * points @ vectors.transpose(1, 2)
        if self.windowed:
            apart = apart + self._walls(product)
        index = apart.argmin(dim=2, keepdim=True).expand(-1, -1, vectors.shape[2])
        # Of the difference: the squares above have lost digits.
        return (points - vectors.gather(1, index)).norm(dim=2)

    def _walls(self, product: Tensor) -> Tensor:
        """What keeps patches of other places away, ``(B, N, M)``."""
        side = self.model.features.grid
        here = torch.arange(side * side, device=product.device)[:, None]
        there = self.places[product][:, None]
        rows, columns = here // side - there // side, here % side - there % side
        outside = (
            torch.maximum(rows.abs(), columns.abs())
            > self.window[product][:, None, None]
        )
        empty = (self.squares[product] >= _FAR)[:, None]
        alone = (outside | empty).all(dim=2, keepdim=True)
        return (outside & ~alone) * _FAR


def _check(model: Any) -> None:
    if model.route == 'all':
        raise ValueError(
            "model.route='all': expected 'image' or 'given' to export, or its cost "
            'grows with every product; set it'
        )
    empty = [number for number, bank in enumerate(model.banks) if not bank.is_filled]
    if empty:
        raise ValueError(
            f'products {empty} are not learned: expected a trained model; train it for '
            'an epoch with mmdefect.CoresetHook'
        )


def _space_of(bank: Any) -> tuple[Tensor, Tensor]:
    """Directions and their scale; all of them where none were chosen."""
    if bank.basis.shape[1]:
        return bank.basis.float(), bank.scale
    return torch.eye(len(bank.mean)).to(bank.mean), torch.ones_like(bank.mean)


def _even(bank: Any, places: int) -> tuple[Tensor, Tensor]:
    """What makes distances of all places alike, if anything does."""
    if len(bank.gain):
        return bank.gain, bank.shift
    return bank.mean.new_ones(places), bank.mean.new_zeros(places)


def _filled(parts: Sequence[Tensor]) -> Tensor:
    """Stack tensors of several sizes, filled up with zeros."""
    sizes = [max(lengths) for lengths in zip(*(p.shape for p in parts), strict=True)]
    found = parts[0].new_zeros(len(parts), *sizes)
    for row, part in zip(found, parts, strict=True):
        row[tuple(map(slice, part.shape))] = part
    return found
