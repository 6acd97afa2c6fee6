"""What is remembered of one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mmdefect.functional.coreset import nearest, prefix_distances
from mmdefect.functional.tolerance import ToleranceLimit, tolerance_limit
from mmdefect.functional.whitening import Subspace, project, residual_distance

SEARCHES = ('bank', 'subspace', 'gaussian')
# Every entry of a bank: how many dimensions it has, and its type.
FIELDS = {
    'mean': (1, torch.float32),
    'basis': (2, torch.float16),
    'scale': (1, torch.float32),
    'vectors': (2, torch.float16),
    'places': (1, torch.int32),
    'sizes': (1, torch.int64),
    'held': (2, torch.float32),
    'embedding': (1, torch.float32),
    'reach': (1, torch.float32),
    'facts': (1, torch.int64),
    'gain': (1, torch.float32),
    'shift': (1, torch.float32),
}


class ProductBank(nn.Module):
    """The memory of one product; everything in it is a buffer, empty until learned.

    Sizes differ from product to product, and loading weights takes over theirs.

    Attributes:
        mean: Of its patches, ``(C,)``.
        basis: Directions in which they vary, ``(C, K)``; see
            :class:`~mmdefect.functional.whitening.Subspace`.
        scale: Of the directions, ``(K,)``.
        vectors: Remembered patches in these directions, the best first, ``(M, K)``.
        places: Where each of them lay in its image, an index into the grid, ``(M,)``.
        sizes: Lengths to which the vectors may be cut, ascending, ``(R,)``.
        held: Scores of good images that were not remembered, with the vectors cut to
            each of the sizes, ``(R, n)``.
        embedding: What its images look like on average, of length 1, ``(C,)``.
        reach: Largest distance of such a good image from it, ``(1,)``.
        facts: How many different images were learned from, in how many folds they were
            scored (0: a part was held out), and the window (-1: none), ``(3,)``.
        gain: With ``shift``, what makes distances of all places alike, ``(N,)``; empty
            where places are not told apart.
        shift: See ``gain``, ``(N,)``.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor
    vectors: Tensor
    places: Tensor
    sizes: Tensor
    held: Tensor
    embedding: Tensor
    reach: Tensor
    facts: Tensor
    gain: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, (dimensions, kind) in FIELDS.items():
            self.register_buffer(name, torch.zeros((0,) * dimensions, dtype=kind))

    @property
    def is_filled(self) -> bool:
        """Whether its product was learned."""
        return len(self.mean) > 0

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return sum(value.nbytes for value in self.buffers())

    @property
    def window(self) -> int | None:
        """How far from its place a patch is compared, in places; ``None``: anywhere."""
        return None if int(self.facts[2]) < 0 else int(self.facts[2])

    @property
    def space(self) -> Subspace:
        """The directions, in float32."""
        return Subspace(mean=self.mean, basis=self.basis.float(), scale=self.scale)

    def fill(self, content: Mapping[str, Tensor]) -> None:
        """Take over content of any sizes; entries that are not given stay.

        Raises:
            ValueError: Float16, in which vectors are kept, cannot hold one.
        """
        for name, value in content.items():
            kept = value.detach().to(self.mean.device, FIELDS[name][1]).clone()
            if kept.is_floating_point() and not bool(kept.isfinite().all()):
                raise ValueError(
                    f'{name} of a product reaches {float(value.abs().max()):g}: '
                    'expected finite numbers up to 65504, as float16 holds them; '
                    'check the encoder and its weights, or whiten the features'
                )
            setattr(self, name, kept)

    def make_room(self, state: Mapping[str, Tensor], prefix: str) -> None:
        """Give the buffers the sizes of weights that are to be loaded."""
        for name in FIELDS:
            found = state.get(f'{prefix}{name}')
            mine = getattr(self, name)
            if found is not None and found.shape != mine.shape:
                setattr(self, name, mine.new_zeros(found.shape))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        self.make_room(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def distances(
        self,
        patches: Tensor,
        search: str,
        *,
        sizes: Sequence[int] | None = None,
        window: int | None = None,
    ) -> Tensor:
        """How unlike this product patches are.

        Args:
            patches: Of one image after the other, shape ``(B, N, C)``.
            search: ``'bank'``, distance to the nearest vector; ``'subspace'``, length
                of what no direction holds; ``'gaussian'``, Mahalanobis distance.
            sizes: Of a bank: to which its vectors are cut.
            window: How far from its place a patch is compared.

        Returns:
            Shape ``(B, N)``, or ``(len(sizes), B, N)``.
        """
        flat = patches.flatten(0, 1)
        if search == 'subspace':
            found = residual_distance(flat, self.space)[None]
        elif search == 'gaussian':
            found = project(flat, self.space).norm(dim=1)[None]
        else:
            points = project(flat, self.space)
            found = self._nearest(points, patches.shape[1], sizes, window)
        found = found.unflatten(1, patches.shape[:2])
        if len(self.gain):
            found = (found * self.gain + self.shift).clamp(min=0)
        return found[0] if sizes is None else found

    def _nearest(
        self,
        points: Tensor,
        count: int,
        sizes: Sequence[int] | None,
        window: int | None,
    ) -> Tensor:
        vectors = self.vectors.float()
        if window is None:
            if sizes is None:
                return nearest(points, vectors)[0][None]
            return prefix_distances(points, vectors, sizes)
        near = self.allowed(round(count**0.5), window)
        sizes = [len(vectors)] if sizes is None else sizes
        images = [
            prefix_distances(part, vectors, sizes, allowed=near)
            for part in points.split(count)
        ]
        return torch.cat(images, dim=1)

    def allowed(self, grid: int, window: int) -> Tensor:
        """Which vectors lie within a window around each place, bool, ``(N, M)``."""
        places = torch.arange(grid * grid, device=self.places.device)[:, None]
        down = (places // grid - self.places // grid).abs() <= window
        return down & ((places % grid - self.places % grid).abs() <= window)

    def limit(self, rate: float, confidence: float) -> ToleranceLimit | None:
        """Threshold of its alarm; ``None`` where no good image was held out.

        Scores of folds are of memories that each lack some images, so they certify
        nothing.
        """
        if not self.held.numel():
            return None
        scores = self.held[-1].cpu()
        found = tolerance_limit(scores, rate=rate, confidence=confidence)
        if int(self.facts[1]):
            return replace(found, certified=False, certifiable=1.0)
        return found

    def bytes_at(self, index: int) -> int:
        """Bytes that are kept with the vectors cut to one of the sizes."""
        cut = len(self.vectors) - int(self.sizes[index])
        rows = len(self.sizes) - 1 - range(len(self.sizes))[index]
        a_vector = self.vectors.shape[1] * 2 + 4
        return self.nbytes - cut * a_vector - rows * (8 + 4 * self.held.shape[1])

    def truncate(self, most: float) -> None:
        """Keep the longest prefix of the vectors that needs at most so many bytes.

        The scores of the held-out images are those of the prefix from then on.
        """
        fitting = [k for k in range(len(self.sizes)) if self.bytes_at(k) <= most]
        index = max(fitting, default=0)
        if index == len(self.sizes) - 1:
            return
        size = int(self.sizes[index])
        self.fill(
            {
                'vectors': self.vectors[:size],
                'places': self.places[:size],
                'sizes': self.sizes[: index + 1],
                'held': self.held[: index + 1],
            }
        )
