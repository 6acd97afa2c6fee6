"""Small networks with weights that matter, and what a cut one has to compute."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import torch
from mmengine.registry import MODELS
from mmpretrain.models import EfficientNetV2
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmdefect.registry  # noqa: F401  knows the names
from mmdefect.pruning.channels.groups import ChannelGroup, trace_groups
from mmdefect.pruning.channels.plan import ChannelPlan
from mmdefect.pruning.scoring.activations import filter_layers
from mmdefect.pruning.sweep.keep import KeepPolicy, plan_of_fraction
from tests.helpers.configs import scope

# Of images; FTLAlexNet needs larger ones.
SIZE = 32
# Output channels of VGG16's convolutions.
VGG16 = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
BACKBONES: dict[str, dict] = {
    'VGG11': {'type': 'VGG', 'depth': 11},
    'FTLAlexNet': {'type': 'mmdefect.FTLAlexNet'},
    'LunaNet': {'type': 'mmdefect.LunaNet'},
    'ResNet18': {'type': 'ResNet', 'depth': 18, 'base_channels': 8, 'stem_channels': 8},
    'MobileNetV2': {'type': 'MobileNetV2', 'widen_factor': 0.25},
    'EfficientNetV2': {'type': 'EfficientNetV2', 'arch': 'tiny'},
    'ConvNeXt': {
        'type': 'ConvNeXt',
        'arch': {'depths': [1, 1, 2, 1], 'channels': [8, 16, 24, 32]},
        # A scale of 1e-6 would hide what the blocks compute.
        'layer_scale_init_value': 1.0,
    },
}
WIDTHS = {'EfficientNetV2': 64, 'ConvNeXt': 32, 'FTLAlexNet': 256, 'LunaNet': 64}
WIDTHS |= {'VGG11': 512, 'ResNet18': 64, 'MobileNetV2': 1280}
# Repeats, kernel, stride, expansion, channels in and out, squeeze, kind of block: one
# with a skip, fused ones, and such with squeeze and excitation.
TINY = [
    [1, 3, 1, 1, 8, 8, 0.0, -1],
    [2, 3, 2, 4, 8, 16, 0.0, 0],
    [2, 3, 2, 4, 16, 24, 4, 1],
    [1, 1, 1, 1, 24, 64, 0.0, -2],
]


def build_backbone(name: str) -> nn.Module:
    """A backbone in evaluation mode."""
    model = _build(dict(BACKBONES[name]))
    model.eval()
    return stir(model)


def build_classifier(
    name: str, *, neck: str = 'GlobalAveragePooling', pixels: int = 1
) -> nn.Module:
    """A classifier of three classes in evaluation mode.

    Args:
        name: The backbone.
        neck: With ``mmdefect.FlattenNeck``, the last map has ``pixels``.
        pixels: Features of a channel.
    """
    cfg = {
        'type': 'ImageClassifier',
        'backbone': dict(BACKBONES[name]),
        # ConvNeXt averages by itself.
        'neck': None if name == 'ConvNeXt' else {'type': neck},
        'head': {
            'type': 'LinearClsHead',
            'num_classes': 3,
            'in_channels': WIDTHS[name] * pixels,
        },
    }
    model = _build(cfg)
    model.eval()
    return stir(model)


def _build(cfg: dict) -> nn.Module:
    tiny = mock.patch.dict(EfficientNetV2.arch_settings, tiny=TINY)
    with scope('mmpretrain'), tiny:
        return MODELS.build(cfg)


def stir(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights that let signals through, and batch norms that have learned."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                fan = module.weight[0].numel()
                noise = torch.randn(module.weight.shape, generator=generator)
                module.weight.copy_(noise * (2 / fan) ** 0.5)
                if module.bias is not None:
                    module.bias.copy_(uniform(module.bias, -0.2, 0.2))
            elif isinstance(module, _BatchNorm):
                module.weight.copy_(uniform(module.weight, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias, -0.5, 0.5))
                module.running_mean.copy_(uniform(module.running_mean, -0.5, 0.5))
                module.running_var.copy_(uniform(module.running_var, 0.5, 1.5))
    return model


def images(number: int = 1, size: int = SIZE, seed: int = 1) -> Tensor:
    """Random ones."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, 3, size, size, generator=generator)


def call(model: nn.Module, given: Tensor) -> Tensor:
    """How a classifier is traced."""
    return model(given, mode='tensor')


def groups_of(model: nn.Module, size: int = SIZE) -> list[ChannelGroup]:
    """Groups of a classifier's or a backbone's filters."""
    example = images(size=size)
    if not hasattr(model, 'backbone'):
        return trace_groups(model, example, layers=filter_layers(model, example))
    layers = filter_layers(model, example, below='backbone')
    return trace_groups(model, example, layers=layers, forward=call)


def random_scores(model: nn.Module, groups: Sequence[ChannelGroup], seed: int = 2):
    """A score for every filter."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(len(model.get_submodule(name).weight), generator=generator)
        for group in groups
        for name in group.filters
    }


def half(model: nn.Module, groups: Sequence[ChannelGroup]) -> ChannelPlan:
    """A plan that keeps half of every group, by random scores."""
    scores = random_scores(model, groups)
    return plan_of_fraction(groups, [scores], KeepPolicy(), 0.5)


def zeroed(model: nn.Module, plan: ChannelPlan, given: Tensor) -> Tensor:
    """What the whole classifier gives if later layers see zeros for dropped ones."""
    handles = []
    for name, module in model.named_modules():
        cut = plan.layers.get(name)
        if cut is not None and cut.into is not None:
            handles.append(module.register_forward_pre_hook(_only(cut.into)))
    try:
        with torch.no_grad():
            return call(model, given)
    finally:
        for handle in handles:
            handle.remove()


def _only(kept):
    def hook(module: nn.Module, args: tuple) -> tuple:
        (value,) = args
        channels = value.shape[-1 if isinstance(module, nn.Linear) else 1]
        mask = torch.zeros(channels, dtype=value.dtype)
        mask[list(kept)] = 1
        shape = mask if isinstance(module, nn.Linear) else mask[:, None, None]
        return (value * shape,)

    return hook


class Coupled(nn.Module):
    """Two convolutions; what happens between them is the test's."""

    def __init__(self, between, channels: int, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.other = nn.Conv2d(3, 5, 3, padding=1)
        self.between = between
        self.last = nn.Conv2d(channels, 6, 1)
        stir(self).eval()

    def forward(self, given: Tensor) -> Tensor:
        return self.last(self.between(self.first(given).relu(), self.other(given)))
