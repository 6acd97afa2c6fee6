"""The study's AlexNet, layer by layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.models.classification.ftl_alexnet import FTLAlexNet


@pytest.fixture(scope='module')
def backbone() -> FTLAlexNet:
    torch.manual_seed(0)
    return FTLAlexNet().eval()


def number(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class TestSizes:
    def test_feature_parameters(self, backbone):
        """The published table counts the two buffers of the batch norm, too."""
        layers = [m for m in backbone.features if number(m)]
        assert [number(layer) for layer in layers] == [
            34_944, 192, 614_656, 885_120, 1_327_488, 884_992,
        ]  # fmt: skip
        norm = layers[1]
        assert norm.running_mean.numel() + norm.running_var.numel() == 192
        assert number(backbone) + 192 == 3_747_584

    def test_shape_every_map_at_224_pixels(self, backbone):
        sides = []
        handles = [
            module.register_forward_hook(lambda *call: sides.append(call[2].shape[2]))
            for module in backbone.features
            if isinstance(module, (nn.Conv2d, nn.MaxPool2d))
        ]
        (last,) = backbone(torch.zeros(1, 3, 224, 224))
        for handle in handles:
            handle.remove()
        assert sides == [56, 27, 27, 13, 13, 13, 13, 6]
        assert last.shape == (1, 256, 6, 6)

    @pytest.mark.parametrize(
        ('size', 'shape'),
        [((41, 41), (1, 1)), ((96, 61), (2, 1)), ((227, 227), (6, 6))],
    )
    def test_shape_other_sizes(self, backbone, size, shape):
        (maps,) = backbone(torch.zeros(2, 3, *size))
        assert maps.shape == (2, 256, *shape)


class TestForward:
    @pytest.mark.parametrize(
        ('size', 'before', 'after'), [(64, 3, 4), (65, 5, 5), (66, 4, 5), (67, 4, 4)]
    )
    def test_feature_padded_as_tensorflow_does(self, backbone, size, before, after):
        """``max((ceil(H / 4) - 1) 4 + 11 - H, 0)``, the odd pixel at the end."""
        first = backbone.features[0]
        image = torch.randn(1, 3, size, size)
        padded = nn.functional.pad(image, (before, after, before, after))
        expected = nn.functional.conv2d(padded, first.weight, first.bias, stride=4)
        torch.testing.assert_close(first(image), expected)

    def test_feature_norm_is_behind_the_first_relu(self, backbone):
        """With Keras's eps: fresh, it divides by the root of 1.001."""
        order = [type(m).__name__ for m in backbone.features]
        assert order[:4] == [
            'Conv2dAdaptivePadding',
            'ReLU',
            'BatchNorm2d',
            'MaxPool2d',
        ]
        assert order.count('BatchNorm2d') == 1
        ones = torch.ones(1, 96, 1, 1)
        found = backbone.features[2](ones)
        torch.testing.assert_close(found, ones / 1.001**0.5, rtol=1e-6, atol=0)

    def test_feature_channels_of_an_image(self):
        backbone = FTLAlexNet(in_channels=1)
        assert backbone(torch.zeros(1, 1, 64, 64))[0].shape == (1, 256, 1, 1)


class TestExceptions:
    @pytest.mark.parametrize('size', [(40, 64), (64, 40)])
    def test_exception_image_too_small(self, backbone, size):
        message = rf'^images of {size[0]} x {size[1]} pixels vanish .*least 41 x 41$'
        with pytest.raises(ValueError, match=message):
            backbone(torch.zeros(1, 3, *size))

    def test_exception_channels(self):
        with pytest.raises(ValueError, match=r'^in_channels=0: expected at least 1$'):
            FTLAlexNet(in_channels=0)

    def test_exception_keywords_only(self):
        with pytest.raises(TypeError, match='positional'):
            FTLAlexNet(3)
