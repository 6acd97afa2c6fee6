"""From the good images of a product to its memory and to the scores of its alarm."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmdefect.functional.coreset import k_center_greedy
from mmdefect.functional.maps import top_mean
from mmdefect.functional.tolerance import images_needed
from mmdefect.functional.whitening import fit_subspace, project
from mmdefect.models.anomaly.product_bank import ProductBank
from mmdefect.models.anomaly.reservoir import PatchReservoir

#: Fewest different good images from which a product is learned.
FEWEST = 4
#: Parts into which too few images to hold any out are divided.
FOLDS = 5
#: Lengths to which vectors may be cut later on, at equal distances.
CUTS = 20
# Windows that compete where the window is 'auto', and how much one must win by.
_WINDOWS = (None, 1, 3)
_MARGIN = 0.95


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a product is learned; see ``ProductMemory``, whose settings these are."""

    per_class: int
    candidates: int
    pca: float | None
    whiten: float | None
    window: int | str | None
    search: str
    score: str
    top: float
    hold_out: float
    rate: float
    confidence: float

    @property
    def whole(self) -> int:
        """How many images are kept whole until a product is learned."""
        return 2 * images_needed(self.rate, self.confidence)


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


def learn(seen: SeenProduct) -> ProductBank:
    """Learn a product, and score the good images that were held out.

    The share of the recipe is held out; more of them where the certificate needs more
    and half of the images suffice. Where they do not, all are learned, and each fold is
    scored by a memory of the others.

    Raises:
        ValueError: There are fewer than four different images, their features are not
            finite, or do not differ.
    """
    recipe = seen.recipe
    _check_number(seen)
    images = sorted(seen.images, key=lambda image: image.order)
    number = _number_held_out(len(seen), recipe)
    held, kept = images[:number], images[number:]
    bank = _remember(kept, seen, recipe)
    rounds = [(bank, held)]
    folds = 0
    if recipe.hold_out and not held:
        folds = min(FOLDS, len(images))
        parts = [images[k::folds] for k in range(folds)]
        rounds = [
            (_remember([i for i in images if i not in part], None, recipe), part)
            for part in parts
        ]
    window = _window(rounds, recipe)
    scores = _scores(rounds, recipe, window, cuts=True)
    if scores.numel() and not bool(scores[-1].max() > 0):
        raise ValueError(
            f'product {seen.name!r}: all good images have the same features: expected '
            'some that differ; check the images'
        )
    reach = _reach(rounds, bank, images)
    facts = [len(seen) - number, folds, -1 if window is None else window]
    bank.fill({'held': scores, 'reach': reach, 'facts': torch.tensor(facts)})
    _say_copies(seen)
    return bank


def _check_number(seen: SeenProduct) -> None:
    if len(seen) < FEWEST:
        copies = f' and {len(seen.copies)} copies of them' if seen.copies else ''
        raise ValueError(
            f'product {seen.name!r} has {len(seen)} different good images{copies}: '
            f'expected at least {FEWEST}; add some'
        )


def _say_copies(seen: SeenProduct) -> None:
    if seen.copies:
        print_log(
            f'product {seen.name!r}: {len(seen.copies)} images are copies of others, '
            'pixel by pixel, and were passed over',
            'current',
        )


def _number_held_out(total: int, recipe: Recipe) -> int:
    needed = images_needed(recipe.rate, recipe.confidence)
    if not recipe.hold_out or 2 * needed > total:
        return 0
    return min(max(round(recipe.hold_out * total), needed), recipe.whole)


def _remember(
    images: Sequence[SeenImage], seen: SeenProduct | None, recipe: Recipe
) -> ProductBank:
    """A bank of some images, and of what else was seen."""
    sample = PatchReservoir(recipe.candidates)
    for image in images:
        sample.add(image.key, image.patches, image.places)
    embeddings = {image.key: image.embedding for image in images}
    if seen is not None:
        sample.merge(seen.rest)
        whole = {image.key for image in seen.images}
        embeddings |= {k: v for k, v in seen.embeddings.items() if k not in whole}
    points = sample.patches.float()
    space = fit_subspace(points, share=recipe.pca, shrinkage=recipe.whiten)
    bank = ProductBank()
    bank.fill({'mean': space.mean, 'basis': space.basis, 'scale': space.scale})
    chosen = torch.zeros(0, dtype=torch.long)
    vectors = points.new_zeros(0, 0)
    if recipe.search == 'bank':
        vectors = project(points, bank.space)
        chosen = k_center_greedy(vectors, recipe.per_class)
        vectors = vectors[chosen]
    center = torch.stack([embeddings[key] for key in sorted(embeddings)]).mean(dim=0)
    bank.fill(
        {
            'vectors': vectors,
            'places': sample.places[chosen],
            'sizes': torch.tensor(_cuts(len(vectors))),
            'embedding': torch.nn.functional.normalize(center, dim=0),
        }
    )
    return bank


def _cuts(number: int) -> list[int]:
    if not number:
        return [0]
    return [math.ceil(number * k / CUTS) for k in range(1, CUTS + 1)]


def _window(rounds: Any, recipe: Recipe) -> int | None:
    """The window of the recipe, or the one for which good images differ least."""
    if recipe.window != 'auto':
        return recipe.window  # type: ignore[return-value]
    if recipe.search != 'bank' or not rounds[0][1]:
        return None
    best, narrowest = None, math.inf
    for window in _WINDOWS:
        scores = _scores(rounds, recipe, window, cuts=False)[-1]
        spread = float(scores.quantile(0.95) / scores.median())
        if spread < narrowest * (1 if window is None else _MARGIN):
            best, narrowest = window, spread
    return best


def _scores(
    rounds: Sequence[tuple[ProductBank, Sequence[SeenImage]]],
    recipe: Recipe,
    window: int | None,
    *,
    cuts: bool,
) -> Tensor:
    """Scores of images that a bank has not seen, ``(R, n)``; one row without cuts."""
    found: list[Tensor] = []
    for bank, images in rounds:
        sizes = bank.sizes.tolist() if cuts else bank.sizes[-1:].tolist()
        for image in images:
            patches = image.patches[None, : image.count].float()
            maps = bank.distances(patches, recipe.search, sizes=sizes, window=window)
            found.append(score_of(maps[:, 0], recipe.score, recipe.top))
    rows = len(rounds[0][0].sizes) if cuts else 1
    return torch.stack(found, dim=1) if found else torch.zeros(rows, 0)


def score_of(maps: Tensor, score: str, top: float) -> Tensor:
    """One number for each map ``(..., N)``: the mean of its top share, or its maximum.

    Args:
        maps: Distances of patches.
        score: ``'top_mean'`` or ``'max'``.
        top: The share.
    """
    return maps.amax(dim=-1) if score == 'max' else top_mean(maps, top)


def _reach(
    rounds: Sequence[tuple[ProductBank, Sequence[SeenImage]]],
    bank: ProductBank,
    images: Sequence[SeenImage],
) -> Tensor:
    """Largest distance of an embedding from that of images it is not part of."""
    pairs = rounds if any(held for _, held in rounds) else [(bank, images)]
    return torch.stack([
        (image.embedding - other.embedding).norm()
        for other, held in pairs
        for image in held
    ]).max()[None]
