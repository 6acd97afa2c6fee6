"""EfficientNet-Lite0 beside timm's, whose weights it takes."""

from __future__ import annotations

import pytest
import torch

from mmdefect.converters.weights import convert
from mmdefect.registry import MODELS
from tests.helpers.source_networks import TimmLite, enliven


def build(**changes) -> torch.nn.Module:
    model = MODELS.build({'type': 'mmdefect.EfficientNetLite', **changes})
    model.eval()
    return model


def test_shape_stages() -> None:
    """Strides 4, 8 and 16; 3.4 million weights without head, as published with 1.3."""
    model = build(out_indices=(2, 3, 4))
    shapes = [tuple(maps.shape[1:]) for maps in model(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(24, 16, 16), (40, 8, 8), (112, 4, 4)]
    assert sum(p.numel() for p in model.parameters()) == 3_371_008


@torch.no_grad()
def test_feature_same_numbers_as_timm_s() -> None:
    torch.manual_seed(0)
    theirs = enliven(TimmLite())
    model = build(out_indices=(6,))
    model.load_state_dict(convert(theirs.state_dict(), 'efficientnet_lite0').backbone)
    for network in (theirs, model):
        network.double()
        # With running statistics a random network hardly sees its image.
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train()
    # Odd, so that the padding of TensorFlow is uneven.
    images = torch.randn(2, 3, 65, 65, dtype=torch.double)
    found, expected = model(images)[0], theirs.features(images)
    assert found.shape == expected.shape == (2, 1280, 3, 3)
    assert (found - expected).abs().max() < 1e-5
    assert (found[0] - found[1]).abs().max() > 1e-2


def test_exception_larger_ones() -> None:
    with pytest.raises(AssertionError, match='lite1'):
        build(arch='lite1')
