"""Modules told apart by their weights."""

from __future__ import annotations

from torch import nn

from mmdefect.utils.modules import weights_digest


def test_feature_weights_digest():
    layer = nn.Linear(2, 1)
    before = weights_digest(layer)
    assert before == weights_digest(layer)
    layer.bias.data += 1
    assert weights_digest(layer) != before
