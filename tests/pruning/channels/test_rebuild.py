"""A cut network computes what the whole one does with zeros for what is gone."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from mmpretrain.models.utils import LayerNorm2d
from torch import nn

from mmdefect.models.classification.ftl_alexnet import FTLAlexNet
from mmdefect.pruning.channels.plan import ChannelPlan, LayerCut
from mmdefect.pruning.channels.rebuild import (
    channels_of,
    check_sliceable,
    cut_in_place,
    feature_widths,
    rebuild,
    reset_norms,
)
from tests.helpers.networks import (
    SIZE,
    build_backbone,
    build_classifier,
    call,
    groups_of,
    half,
    images,
    stir,
    zeroed,
)


def one_layer(name='conv', **cut):
    return ChannelPlan(layers={name: LayerCut(**cut)})


def equals_zeros(model, size=SIZE):
    """Cut half of all channels; compare in double precision."""
    groups = groups_of(model, size)
    plan = half(model, groups)
    model.double()
    smaller, given = rebuild(model, plan), images(2, size).double()
    with torch.no_grad():
        small, whole = call(smaller, given), call(model, given)
    expected = zeroed(model, plan, given)
    # Both what is cut and what is left has to matter for the comparison to say
    # anything.
    assert (whole - expected).abs().max() > 1e-2
    assert (small[0] - small[1]).abs().max() > 1e-4
    torch.testing.assert_close(small, expected, rtol=1e-9, atol=1e-9)
    return plan, smaller


class TestEqualsZeros:
    @pytest.mark.parametrize(
        'name', ['VGG11', 'LunaNet', 'ResNet18', 'MobileNetV2', 'EfficientNetV2']
    )
    def test_feature_network(self, name):
        model = build_classifier(name)
        plan, smaller = equals_zeros(model)
        for layer, width in plan.widths().items():
            assert width == channels_of(model.get_submodule(layer), 'out') / 2
            assert width == channels_of(smaller.get_submodule(layer), 'out')

    @pytest.mark.parametrize('norm', [True, False])
    def test_feature_alexnet_flattened(self, norm):
        """With its batch norm, one number a channel in evaluation mode, and without."""
        model = build_classifier('FTLAlexNet', neck='mmdefect.FlattenNeck', pixels=4)
        if not norm:
            model.backbone.features[2] = nn.Identity()
        plan, smaller = equals_zeros(model, size=96)
        assert smaller.head.fc.in_features == 512
        assert ('backbone.features.2' in plan.layers) == norm

    def test_feature_convnext_without_its_norms(self):
        """A layer norm's mean is over all channels, so only inner widths are equal."""
        model = build_classifier('ConvNeXt')
        inner = [g for g in groups_of(model) if 'pointwise_conv1' in g.name]
        assert len(inner) == 5
        plan = half(model, inner)
        model.double()
        given = images(2).double()
        with torch.no_grad():
            small = call(rebuild(model, plan), given)
        expected = zeroed(model, plan, given)
        assert (call(model, given) - expected).abs().max() > 1e-3
        torch.testing.assert_close(small, expected, rtol=1e-9, atol=1e-9)

    def test_smoke_convnext(self):
        model = build_classifier('ConvNeXt')
        smaller = rebuild(model, half(model, groups_of(model)))
        assert call(smaller, images(2)).shape == (2, 3)
        assert feature_widths(smaller.backbone, images()) == [16]
        norms = [m for m in smaller.modules() if isinstance(m, LayerNorm2d)]
        assert {m.normalized_shape[0] for m in norms} == {4, 8, 12, 16}
        assert all(m.num_channels == m.normalized_shape[0] for m in norms)

    def test_feature_cut_twice(self):
        """A cut network can be traced and cut again; the network itself stays whole."""
        model = build_classifier('ResNet18')
        before = {key: value.clone() for key, value in model.state_dict().items()}
        plan = half(model, groups_of(model))
        once = rebuild(model, plan)
        twice = rebuild(once, half(once, groups_of(once)))
        assert feature_widths(twice.backbone, images()) == [16]
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key])
        with pytest.raises(ValueError, match='the plan was made of a network with'):
            rebuild(once, plan)

    def test_feature_trains(self):
        """Gradients reach every parameter that had some before, and no other."""
        model = build_classifier('MobileNetV2')
        model.backbone.conv1.requires_grad_(False)
        smaller = rebuild(model, half(model, groups_of(model))).train()
        call(smaller, images(2)).square().sum().backward()
        for name, parameter in smaller.named_parameters():
            frozen = name.startswith('backbone.conv1.')
            assert (parameter.grad is None) == frozen, name


class TestSlices:
    def test_feature_convolution(self):
        model = nn.Sequential()
        model.conv = nn.Conv2d(4, 6, 3)
        cut = LayerCut(out=(1, 5), out_of=6, into=(0, 2, 3), into_of=4)
        smaller = rebuild(model, ChannelPlan(layers={'conv': cut})).conv
        expected = model.conv.weight[[1, 5]][:, [0, 2, 3]]
        assert torch.equal(smaller.weight, expected)
        assert torch.equal(smaller.bias, model.conv.bias[[1, 5]])
        assert (smaller.in_channels, smaller.out_channels) == (3, 2)

    def test_feature_batch_norm(self):
        model = nn.Sequential()
        model.norm = stir(nn.Sequential(nn.BatchNorm2d(4)))[0]
        smaller = rebuild(model, one_layer('norm', out=(0, 3), out_of=4)).norm
        for name in ('weight', 'bias', 'running_mean', 'running_var'):
            whole = getattr(model.norm, name)
            assert torch.equal(getattr(smaller, name), whole[[0, 3]])
        assert smaller.num_features == 2

    def test_feature_depthwise(self):
        model = nn.Sequential()
        model.conv = nn.Conv2d(4, 4, 3, groups=4)
        smaller = rebuild(model, one_layer(out=(0, 3), out_of=4)).conv
        assert (smaller.groups, smaller.in_channels, smaller.out_channels) == (2, 2, 2)
        assert smaller(torch.zeros(1, 2, 5, 5)).shape == (1, 2, 3, 3)

    def test_feature_bare_parameter(self):
        model = nn.Module()
        model.scale = nn.Parameter(torch.arange(4.0), requires_grad=False)
        smaller = rebuild(model, one_layer('scale', out=(1, 2), out_of=4))
        assert smaller.scale.tolist() == [1, 2]
        assert not smaller.scale.requires_grad

    def test_feature_widths_only(self):
        """Builds the architecture, of whatever filters."""
        plan = ChannelPlan(
            layers={
                'features.0': LayerCut(out=14, out_of=96),
                'features.2': LayerCut(out=14, out_of=96),
                'features.4': LayerCut(into=14, into_of=96),
            }
        )
        smaller = rebuild(FTLAlexNet(), plan).eval()
        assert smaller.features[4].in_channels == 14
        assert smaller(images(size=64))[0].shape == (1, 256, 1, 1)

    def test_feature_reset_norms(self):
        model = build_backbone('ResNet18')
        weight = model.conv1.weight.clone()
        reset_norms(model)
        for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
            assert bool((norm.weight == 1).all() and (norm.bias == 0).all())
            assert bool((norm.running_mean == 0).all())
            assert bool((norm.running_var == 1).all())
        assert torch.equal(model.conv1.weight, weight)

    def test_feature_widths_of_maps(self):
        model = build_backbone('ResNet18')
        model.out_indices = (1, 3)
        model.train()
        before = model.bn1.running_mean.clone()
        assert feature_widths(model, images()) == [16, 64]
        assert model.training
        assert torch.equal(model.bn1.running_mean, before)


class TestExceptions:
    @pytest.mark.parametrize(
        ('layer', 'cut', 'said'),
        [
            ('layer9', {'out': (0,), 'out_of': 2}, r'LunaNet does not have this layer'),
            ('blocks.0.conv1', {'out': (0,), 'out_of': 16}, r'8 channels .out.* 16;'),
            ('blocks.0.conv1', {'into': (0,), 'into_of': 4}, r'3 channels \(in\).* 4;'),
            ('input_norm', {'into': (0,), 'into_of': 3}, 'a cut of its outputs only'),
        ],
    )
    def test_exception_another_architecture(self, layer, cut, said):
        with pytest.raises(ValueError, match=f'^{layer}: expected .*{said}'):
            rebuild(build_backbone('LunaNet'), one_layer(layer, **cut))

    def test_exception_another_image_size(self):
        """Flattened maps depend on it."""
        four = build_classifier('FTLAlexNet', neck='mmdefect.FlattenNeck', pixels=4)
        plan = half(four, groups_of(four, size=96)[-1:])
        one = build_classifier('FTLAlexNet', neck='mmdefect.FlattenNeck')
        with pytest.raises(ValueError, match=r'head.fc: .* with 1024; .* image size'):
            rebuild(one, plan)

    @pytest.mark.parametrize(
        ('module', 'reason'),
        [
            (nn.Conv2d(4, 4, 3, groups=2), 'a convolution in 2 groups'),
            (nn.Conv2d(2, 4, 3, groups=2), 'a convolution in 2 groups'),
            (nn.LayerNorm((4, 2)), 'a layer norm over more than channels'),
            (nn.LayerNorm(4, elementwise_affine=False), 'a layer norm over more'),
            (nn.BatchNorm2d(4, affine=False), 'a BatchNorm2d'),
            (nn.GroupNorm(2, 4), 'a GroupNorm'),
            (nn.ConvTranspose2d(4, 4, 3), 'a ConvTranspose2d'),
            (nn.Parameter(torch.zeros(4, 2)), 'a bare parameter of shape (4, 2)'),
        ],
    )
    def test_exception_not_sliceable(self, module, reason):
        message = f'^layer is {re.escape(reason)}.*: expected convolutions'
        with pytest.raises(ValueError, match=message):
            check_sliceable(module, 'layer')

    def test_exception_leaves_the_network_alone(self):
        """The layers before the one that does not fit are not cut, either."""
        model = build_backbone('LunaNet')
        good = LayerCut(out=(0,), out_of=8)
        plan = ChannelPlan(layers={'blocks.0.conv1': good, 'blocks.0.conv9': good})
        with pytest.raises(ValueError, match='conv9'):
            cut_in_place(model, plan)
        assert model.blocks[0].conv1.out_channels == 8

    def test_feature_nothing_cut_is_a_copy(self):
        model = build_backbone('LunaNet')
        smaller = copy.deepcopy(rebuild(model, ChannelPlan(layers={})))
        assert smaller is not model
        assert torch.equal(smaller(images())[0], model(images())[0])
