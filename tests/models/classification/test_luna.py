"""LUNA's sizes, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.models.classification.luna import LunaNet


def number(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class TestSizes:
    def test_feature_parameters_of_each_part(self):
        luna = LunaNet()
        assert number(luna.input_norm) == 6
        assert [number(block) for block in luna.blocks] == [808, 3_488, 13_888, 55_424]
        convs = [number(m) for m in luna.modules() if isinstance(m, nn.Conv2d)]
        assert convs == [224, 584, 1_168, 2_320, 4_640, 9_248, 18_496, 36_928]
        assert number(luna) == 73_614

    def test_shape_every_map_at_300_pixels(self):
        """An odd side loses its last row and column: 75 becomes 37."""
        luna = LunaNet().eval()
        shapes = []
        for block in luna.blocks:
            block.register_forward_hook(lambda *call: shapes.append(call[2].shape[1:]))
        (last,) = luna(torch.zeros(1, 3, 300, 300))
        assert [tuple(shape) for shape in shapes] == [
            (8, 150, 150),
            (16, 75, 75),
            (32, 37, 37),
            (64, 18, 18),
        ]
        assert last.shape == (1, 64, 18, 18)

    @pytest.mark.parametrize('input_norm', [True, False])
    def test_shape_other_sizes(self, input_norm):
        luna = LunaNet(
            in_channels=1, base_channels=4, num_blocks=2, input_norm=input_norm
        )
        (maps,) = luna(torch.zeros(2, 1, 9, 13))
        assert maps.shape == (2, 8, 2, 3)
        batch_norms = [m for m in luna.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(batch_norms) == input_norm


class TestForward:
    def test_feature_is_convolutions_and_maxima(self):
        """The same numbers without modules."""
        torch.manual_seed(0)
        luna = LunaNet(base_channels=2, num_blocks=2, input_norm=False)
        image = torch.randn(1, 3, 8, 8)
        expected = image
        for name, weight in luna.named_parameters():
            if name.endswith('weight'):
                bias = luna.get_parameter(name.replace('weight', 'bias'))
                expected = nn.functional.conv2d(expected, weight, bias, padding=1)
                expected = expected.clamp(min=0)
            elif 'conv2' in name:
                expected = nn.functional.max_pool2d(expected, 2)
        torch.testing.assert_close(luna(image)[0], expected)


class TestExceptions:
    def test_exception_image_too_small(self):
        message = r'^images of 16 x 15 pixels: expected at least 16 x 16, or'
        with pytest.raises(ValueError, match=message):
            LunaNet()(torch.zeros(1, 3, 16, 15))

    @pytest.mark.parametrize('name', ['in_channels', 'base_channels', 'num_blocks'])
    def test_exception_numbers(self, name):
        with pytest.raises(ValueError, match=rf'{name}=0.* at least 1'):
            LunaNet(**{name: 0})
