"""From the good images of a product to its memory and to the scores of its alarm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmdefect.functional.coreset import k_center_greedy
from mmdefect.functional.tolerance import ToleranceLimit
from mmdefect.functional.whitening import fit_subspace, project
from mmdefect.models.anomaly.product_memory.bank import ProductBank
from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.models.anomaly.product_memory.seen import SeenImage, SeenProduct
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
# Maps that say how much a place varies, and how many are looked at at most.
_FEWEST_MAPS, _MOST_MAPS = 16, 100


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
    if recipe.even:
        _even_out(bank, rounds if folds else [(bank, kept)], recipe, window)
    scores = _scores(rounds, recipe, window, cuts=True)
    if recipe.search == 'bank' and scores.numel():
        _check_differ(scores[-1], bank, seen.name)
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


def _check_differ(scores: Tensor, bank: ProductBank, name: str) -> None:
    """Refuse images among which only the rounding of float16 tells."""
    length = float(bank.vectors.float().norm(dim=1).mean())
    if float(scores.max()) < 2e-3 * length:
        raise ValueError(
            f'product {name!r}: all good images have the same features: expected some '
            'that differ; check the images and the encoder'
        )


def _say_copies(seen: SeenProduct) -> None:
    if seen.copies:
        print_log(
            f'product {seen.name!r}: {len(seen.copies)} images are copies of others, '
            'pixel by pixel, and were passed over',
            'current',
        )


def _number_held_out(total: int, recipe: Recipe) -> int:
    if not recipe.hold_out or 2 * recipe.needed > total:
        return 0
    # Some of those that are kept whole say how much places vary.
    most = recipe.whole - 2 * _FEWEST_MAPS
    most = most if most >= recipe.needed else recipe.whole
    return min(max(round(recipe.hold_out * total), recipe.needed), most)


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


def _even_out(
    bank: ProductBank,
    rounds: Sequence[tuple[ProductBank, Sequence[SeenImage]]],
    recipe: Recipe,
    window: int | None,
) -> None:
    """Make distances of all places alike: where good images differ, they count less.

    The encoder's padding makes places at the border differ, and so do a product's
    edges. What is held out plays no part, so that the alarm stays certified; a bank
    holds few of the patches of an image that it remembers. Of folds, each is evened out
    by the maps of the others: by its own it would look better than any later image.
    """
    found = [
        torch.cat(
            [
                memory.distances(
                    image.patches[None, : image.count].float(),
                    recipe.search,
                    window=window,
                )
                for image in images
            ]
        )
        for memory, images in _first(rounds, _MOST_MAPS)
    ]
    folds = [memory for memory, _ in rounds if memory is not bank]
    terms = [_evening(found)]
    terms += [_evening([*found[:k], *found[k + 1 :]]) for k in range(len(folds))]
    known = [term for term in terms if term is not None]
    if len(known) == len(terms):  # else their scores would not be alike
        for memory, term in zip([bank, *folds], known, strict=True):
            memory.fill(term)


def _first(
    rounds: Sequence[tuple[ProductBank, Sequence[SeenImage]]], most: int
) -> list[tuple[ProductBank, Sequence[SeenImage]]]:
    """Rounds with as many images at most, each with its share of them."""
    share = math.ceil(most / len(rounds))
    return [(memory, images[:share]) for memory, images in rounds if images]


def _evening(found: Sequence[Tensor]) -> dict[str, Tensor] | None:
    """``gain`` and ``shift`` of each place by maps of good images, each ``(n, N)``.

    A place is known by mean and deviation of the distances; the variance is shrunk
    half-way to the mean one. None where there are too few maps, or they do not differ.
    """
    maps = torch.cat(list(found)) if found else torch.zeros(0, 0)
    if len(maps) < _FEWEST_MAPS:
        return None
    variance, level = maps.var(dim=0), maps.mean(dim=0)
    if not bool(variance.mean() > 0):
        return None
    spread = ((variance + variance.mean()) / 2).sqrt()
    gain = spread.mean() / spread
    return {'gain': gain, 'shift': level.mean() - gain * level}


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
            found.append(recipe.scores(maps[:, 0]))
    rows = len(rounds[0][0].sizes) if cuts else 1
    return torch.stack(found, dim=1) if found else torch.zeros(rows, 0)


def _reach(
    rounds: Sequence[tuple[ProductBank, Sequence[SeenImage]]],
    bank: ProductBank,
    images: Sequence[SeenImage],
) -> Tensor:
    """Largest distance of an embedding from that of images it is not part of."""
    pairs = rounds if any(held for _, held in rounds) else [(bank, images)]
    return torch.stack(
        [
            (image.embedding - other.embedding).norm()
            for other, held in pairs
            for image in held
        ]
    ).max()[None]


def replaced(name: str, bank: ProductBank, limit: ToleranceLimit | None) -> str:
    """What is lost of a product that is learned anew, in a line."""
    text = (
        f'product {name!r} is learned anew: what was learned from '
        f'{int(bank.facts[0])} good images is gone'
    )
    return text if limit is None else f'{text}, with its alarm at {limit.threshold:.4g}'


def summary(name: str, bank: ProductBank, limit: ToleranceLimit | None) -> str:
    """What a product was learned from, and what its alarm is worth, in a line."""
    learned, folds, _ = bank.facts.tolist()
    text = (
        f'product {name!r}: learned from {learned} good images, {len(bank.vectors)} '
        f'patches, {bank.nbytes / 1e6:.2f} MB'
    )
    if limit is None:
        return f'{text}; no alarm, for hold_out=0'
    if folds:
        return (
            f'{text}; alarm at {limit.threshold:.4g}, not certified: there are too few '
            f'to hold some out, so {folds} folds were scored'
        )
    return f'{text}; alarm at {limit.threshold:.4g}: {limit.text}'
