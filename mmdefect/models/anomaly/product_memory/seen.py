"""What a step has seen of a product, bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.models.anomaly.reservoir import PatchReservoir, image_key

VIEWS = ('hflip', 'vflip', 'rot90')


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenImage:
    """Features of a good image.

    Attributes:
        key: What tells it apart.
        patches: float16, ``(V * N, C)``: of the image, then of its other views.
        count: ``N``.
        embedding: float32, ``(C,)``.
    """

    key: str
    patches: Tensor
    count: int
    embedding: Tensor

    @property
    def order(self) -> tuple[str, str]:
        """Images are drawn by their file's name: the same ones in every process."""
        name = self.key.rpartition('/')[2]
        return hashlib.sha256(name.encode()).hexdigest(), self.key

    @property
    def places(self) -> Tensor:
        """Where each patch lies in the grid."""
        return torch.arange(len(self.patches)) % self.count


class SeenProduct:
    """What a step has seen of a product: some images whole, of the others a sample.

    Args:
        name: Of the product.
        recipe: How it is learned.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name = name
        self.recipe = recipe
        self.images: list[SeenImage] = []
        self.rest = PatchReservoir(recipe.candidates)
        self.embeddings: dict[str, Tensor] = {}
        self._keys: dict[str, str] = {}
        self.copies: set[str] = set()

    def add(self, image: SeenImage, digest: str) -> None:
        """Look at an image; one whose pixels were seen before is passed over.

        Args:
            image: Its features.
            digest: Of its pixels.
        """
        known = self._keys.setdefault(digest, image.key)
        if known != image.key:
            self.copies.add(image.key)
        if image.key in self.embeddings or known != image.key:
            return
        self.embeddings[image.key] = image.embedding
        self._hold(image)

    def merge(self, other: SeenProduct) -> None:
        """Add what another process has seen."""
        twins = {
            key
            for digest, key in other._keys.items()
            if self._keys.setdefault(digest, key) != key
        }
        self.copies |= other.copies | twins
        self.rest.merge(other.rest)
        held = set(self.embeddings)
        for image in other.images:
            if image.key not in held | twins:
                self._hold(image)
        self.embeddings |= {k: v for k, v in other.embeddings.items() if k not in twins}

    def _hold(self, image: SeenImage) -> None:
        self.images.append(image)
        if len(self.images) > self.recipe.whole:
            last = max(self.images, key=lambda held: held.order)
            self.images = [held for held in self.images if held is not last]
            self.rest.add(last.key, last.patches, last.places)

    def __len__(self) -> int:
        return len(self.embeddings)


def seen_image(path: str, views: Tensor, embedding: Tensor) -> SeenImage:
    """Features of an image, if they are such that a bank can keep.

    Args:
        path: Of its file.
        views: float16, ``(V, N, C)``: of the image, then of its other views.
        embedding: Of the image, ``(C,)``.

    Raises:
        ValueError: They are not finite as float16.
    """
    if not bool(views.isfinite().all()):
        raise ValueError(
            f'{path}: its features are beyond 65504, which is all that float16 can '
            'hold, or not finite at all: expected smaller ones; check the encoder and '
            'its weights'
        )
    return SeenImage(
        key=image_key(path),
        patches=views.flatten(0, 1),
        count=views.shape[1],
        embedding=embedding,
    )


def merged(parts: Iterable[Mapping[int, SeenProduct]]) -> dict[int, SeenProduct]:
    """What all processes have seen, in the order of the labels."""
    found: dict[int, SeenProduct] = {}
    for part in parts:
        for label, product in part.items():
            new = SeenProduct(product.name, product.recipe)
            found.setdefault(label, new).merge(product)
    return dict(sorted(found.items()))


def views_of(inputs: Mapping[str, Tensor], names: Sequence[str]) -> Iterator[Tensor]:
    """Images of a batch turned in every way that is named."""
    for name in names:
        images = inputs['images']
        if name == 'hflip':
            yield images.flip(-1)
        elif name == 'vflip':
            yield images.flip(-2)
        else:
            yield from (images.rot90(turns, (-2, -1)) for turns in (1, 2, 3))


def digest_of(inputs: Mapping[str, Tensor], place: int) -> str:
    """What an image of a batch has in common with its copies alone."""
    values = inputs['images' if 'images' in inputs else 'features'][place]
    data = values.detach().cpu().contiguous().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()
