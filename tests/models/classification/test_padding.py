"""Half a kernel on every side."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.models.classification.padding import HalfPaddedConv2d
from tests.models.classification.conftest import build


@pytest.mark.parametrize(
    ('kernel', 'dilation', 'padding'),
    [(1, 1, (0, 0)), (3, 1, (1, 1)), (5, 2, (4, 4)), ((3, 7), 1, (1, 3))],
)
def test_shape_padding(kernel, dilation, padding):
    conv = HalfPaddedConv2d(2, 3, kernel, padding=9, dilation=dilation)
    assert conv.padding == padding
    assert conv(torch.zeros(1, 2, 9, 9)).shape == (1, 3, 9, 9)


@pytest.mark.parametrize('size', [7, 8])
def test_feature_is_an_ordinary_convolution(size):
    torch.manual_seed(0)
    ours = HalfPaddedConv2d(2, 3, 3, stride=2)
    theirs = nn.Conv2d(2, 3, 3, stride=2, padding=1)
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(1, 2, size, size)
    assert torch.equal(ours(image), theirs(image))


def test_feature_the_five_of_efficientnet():
    """As torchvision's: every convolution pads half its kernel."""
    model = build('efficientnetv2_s', 'meta')
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    strided = [conv for conv in convs if conv.stride == (2, 2)]
    assert len(strided) == 5
    assert all(type(conv) is HalfPaddedConv2d for conv in strided)
    assert all(c.padding == tuple(k // 2 for k in c.kernel_size) for c in convs)
