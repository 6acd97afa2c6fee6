"""Banks of all products: which one an image shows, and how they share a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmdefect.models.anomaly.product_memory.bank import ProductBank


class ProductBanks(nn.ModuleList):
    """A bank for every product, in label order.

    Args:
        number: Of products.
    """

    def __init__(self, number: int) -> None:
        super().__init__(ProductBank() for _ in range(number))

    @property
    def all(self) -> list[ProductBank]:
        """The banks."""
        return [bank for bank in self if isinstance(bank, ProductBank)]

    def of(self, label: int) -> ProductBank:
        """The bank of a product."""
        bank = self[label]
        if not isinstance(bank, ProductBank):  # for mypy
            raise TypeError(label)
        return bank

    @property
    def filled(self) -> list[int]:
        """Labels of the products that are learned."""
        return [label for label, bank in enumerate(self.all) if bank.is_filled]

    def learned(self, label: int) -> int:
        """Return the label of a product that is learned.

        Raises:
            ValueError: It is none.
        """
        if label not in self.filled:
            raise ValueError(
                f'product {label} was given: expected one that is learned, of '
                f'{self.filled}'
            )
        return label

    def recognise(
        self, embeddings: Tensor, margin: float | None
    ) -> tuple[list[int], list[bool]]:
        """The product that looks most like each image.

        Args:
            embeddings: Of the images, shape ``(B, C)``.
            margin: How many times its reach a product is recognised; ``None``: always.

        Returns:
            Its label, and whether the image is near enough to show it.
        """
        filled = self.filled
        centers = torch.stack([self.of(label).embedding for label in filled])
        reach = torch.cat([self.of(label).reach for label in filled])
        distances, places = (embeddings[:, None] - centers).norm(dim=2).min(dim=1)
        known = torch.ones_like(distances, dtype=torch.bool)
        if margin is not None:
            known = distances <= margin * reach[places]
        return [filled[place] for place in places.tolist()], known.tolist()

    def share(self, megabytes: float) -> None:
        """Cut the vectors of all products so that each has an equal share of a budget.

        Args:
            megabytes: Of 10^6 bytes, for all together.

        Raises:
            ValueError: A share is too small for the shortest prefix.
        """
        filled = [bank for bank in self.all if bank.is_filled]
        share = megabytes * 1e6 / len(filled)
        least = max(bank.bytes_at(0) for bank in filled)
        if least > share:
            raise ValueError(
                f'model.budget_mb={megabytes:g} for {len(filled)} products: expected '
                f'at least {least * len(filled) / 1e6:.2g}, with which each has room '
                'for its smallest bank; raise it'
            )
        for bank in filled:
            bank.truncate(share)

    def make_room(self, state: Mapping[str, Tensor], prefix: str = 'banks.') -> None:
        """Give the banks the sizes of weights that are to be loaded."""
        for label, bank in enumerate(self.all):
            bank.make_room(state, f'{prefix}{label}.')


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
