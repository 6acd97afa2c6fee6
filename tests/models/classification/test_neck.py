"""One row of the last map."""

from __future__ import annotations

import torch

from mmdefect.models.classification.neck import FlattenNeck


def test_shape_and_order():
    """Channel by channel, row by row; earlier maps are not used."""
    first, last = torch.zeros(2, 1, 4, 4), torch.arange(24.0).view(2, 3, 2, 2)
    (flat,) = FlattenNeck()((first, last))
    assert torch.equal(flat, torch.arange(24.0).view(2, 12))


def test_shape_of_what_is_flat():
    features = torch.randn(2, 5)
    assert torch.equal(FlattenNeck()((features,))[0], features)
