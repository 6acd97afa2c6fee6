"""Banks of several products: which one an image shows, and how they share a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from mmdefect.models.anomaly.product_memory.bank import ProductBank


def filled_of(banks: Iterable[ProductBank]) -> list[int]:
    """Labels of the products that are learned."""
    return [label for label, bank in enumerate(banks) if bank.is_filled]


def learned_label(label: int, banks: Sequence[ProductBank]) -> int:
    """Return the label of a product that is learned.

    Raises:
        ValueError: It is none.
    """
    filled = filled_of(banks)
    if label not in filled:
        raise ValueError(
            f'product {label} was given: expected one that is learned, of {filled}'
        )
    return label


def recognise(
    embeddings: Tensor, banks: Sequence[ProductBank], margin: float | None
) -> tuple[list[int], list[bool]]:
    """The product that looks most like each image.

    Args:
        embeddings: Of the images, shape ``(B, C)``.
        banks: At least one is filled.
        margin: How many times its reach a product is recognised; ``None``: always.

    Returns:
        Its label, and whether the image is near enough to show it.
    """
    filled = filled_of(banks)
    centers = torch.stack([banks[label].embedding for label in filled])
    reach = torch.cat([banks[label].reach for label in filled])
    distances, places = (embeddings[:, None] - centers).norm(dim=2).min(dim=1)
    known = torch.ones_like(distances, dtype=torch.bool)
    if margin is not None:
        known = distances <= margin * reach[places]
    return [filled[place] for place in places.tolist()], known.tolist()


def share_budget(banks: Iterable[ProductBank], megabytes: float) -> None:
    """Cut the vectors of all products so that each has an equal share of a budget.

    Args:
        banks: Of all products.
        megabytes: Of 10^6 bytes, for all together.

    Raises:
        ValueError: A share is too small for the shortest prefix.
    """
    filled = [bank for bank in banks if bank.is_filled]
    share = megabytes * 1e6 / len(filled)
    least = max(bank.bytes_at(0) for bank in filled)
    if least > share:
        raise ValueError(
            f'model.budget_mb={megabytes:g} for {len(filled)} products: expected at '
            f'least {least * len(filled) / 1e6:.2g}, with which each has room for '
            'its smallest bank; raise it'
        )
    for bank in filled:
        bank.truncate(share)


def moved_banks(
    state: Mapping[str, Tensor], old_classes: Sequence[str], new_classes: Sequence[str]
) -> dict[str, Tensor]:
    """Weights whose banks are where their products are now.

    Args:
        state: Of a model of ``old_classes``.
        old_classes: Its products, in label order.
        new_classes: Products in label order; one that is not there stays.
    """
    places = {
        f'banks.{old}.': f'banks.{list(new_classes).index(name)}.'
        for old, name in enumerate(old_classes)
        if name in new_classes
    }
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        head = next((old for old in places if key.startswith(old)), '')
        found[places.get(head, head) + key[len(head) :]] = value
    return found
