"""Which map of a filter is taken: behind its activation function."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmdefect.pruning.scoring.activations import (
    ActivationRecorder,
    channels_first,
    filter_layers,
    is_activation,
)
from tests.helpers.networks import build_backbone, images, stir


def chain(**modules):
    return stir(nn.Sequential(OrderedDict(modules))).eval()


def conv(into=3, out=4):
    return nn.Conv2d(into, out, 3, padding=1)


def record(model, *layers, given=None, **settings):
    recorder = ActivationRecorder(model, layers, **settings)
    with torch.no_grad(), recorder.recording():
        model(images(size=8) if given is None else given)
    return recorder.maps()


class TestWhere:
    @pytest.mark.parametrize(
        ('behind', 'taken'),
        [
            ([nn.ReLU(inplace=True)], 2),
            ([nn.ReLU()], 2),
            ([nn.BatchNorm2d(4), nn.ReLU(inplace=True)], 3),
            ([nn.BatchNorm2d(4), nn.ReLU()], 3),
            # At the ReLU, as FTL scores; the norm behind it shifts zeros away.
            ([nn.ReLU(), nn.BatchNorm2d(4)], 2),
            # Linear bottlenecks have no activation function.
            ([nn.BatchNorm2d(4), nn.MaxPool2d(2)], 2),
        ],
    )
    def test_feature_behind_norm_and_activation(self, behind, taken):
        model = chain(conv=conv(), **{str(k): m for k, m in enumerate(behind)})
        (found,) = record(model, 'conv').values()
        torch.testing.assert_close(found, model[:taken](images(size=8)))
        relu = any(isinstance(module, nn.ReLU) for module in behind)
        assert bool((found == 0).any()) == relu

    def test_feature_modules_that_run_for_several_layers(self):
        """A later activation function belongs to a later layer, as in a block."""
        relu, shared = nn.ReLU(inplace=True), conv(3, 3)
        model = chain(a=conv(), b=conv(4, 5), relu=nn.ReLU())
        found = record(model, 'a', 'b')
        torch.testing.assert_close(found['a'], model.a(images(size=8)))
        torch.testing.assert_close(found['b'], model(images(size=8)))
        model = chain(a=conv(), relu=relu, b=conv(4, 5), again=relu)
        found = record(model, 'a', 'b')
        torch.testing.assert_close(found['a'], model[:2](images(size=8)))
        torch.testing.assert_close(found['b'], model(images(size=8)))
        # Of a layer that runs twice, the last time counts.
        model = chain(a=shared, relu=nn.ReLU(), b=shared, last=nn.ReLU())
        (found,) = record(model, 'a').values()
        torch.testing.assert_close(found, model(images(size=8)))
        norm, act = {'type': 'BN'}, {'type': 'Swish'}
        model = chain(block=ConvModule(3, 4, 3, norm_cfg=norm, act_cfg=act))
        (found,) = record(model, 'block.conv').values()
        torch.testing.assert_close(found, model(images(size=8)))

    def test_feature_residual_sum(self):
        """Behind the second norm of a block comes the sum, and then the ReLU."""
        model = build_backbone('ResNet18')
        outputs = {}
        model.layer1[0].register_forward_hook(
            lambda *call: outputs.update(block=call[2].clone())
        )
        found = record(model, 'layer1.0.conv2', given=images())['layer1.0.conv2']
        torch.testing.assert_close(found, outputs['block'])

    def test_shape_linear_layers_over_maps(self):
        model = build_backbone('ConvNeXt')
        name = 'stages.0.0.pointwise_conv1'
        (found,) = record(model, name, given=images(2)).values()
        assert found.shape == (2, 32, 8, 8)
        block, given = model.stages[0][0], images(2)
        with torch.no_grad():
            maps = block.depthwise_conv(model.downsample_layers[0](given))
            maps = block.norm(maps.permute(0, 2, 3, 1), data_format='channel_last')
            expected = block.act(block.pointwise_conv1(maps))
        torch.testing.assert_close(found, expected.permute(0, 3, 1, 2))

    def test_feature_vectors_are_left_out(self):
        model = chain(conv=conv(), flat=nn.Flatten(), fc=nn.Linear(256, 2))
        assert list(record(model, 'conv', 'fc')) == ['conv']


class TestRecorder:
    def test_feature_stops_and_leaves_no_hooks(self):
        model = chain(a=conv(), relu=nn.ReLU(), b=conv(4, 5), again=nn.ReLU())
        ran = []
        handle = model.b.register_forward_hook(lambda *call: ran.append('b'))
        assert list(record(model, 'a', stop_after='a')) == ['a']
        assert not ran
        handle.remove()
        assert not any(m._forward_hooks for m in model.modules())
        recorder = ActivationRecorder(model, ['a'])
        with pytest.raises(RuntimeError), recorder.recording():
            model(torch.zeros(1, 2, 8, 8))
        assert not any(m._forward_hooks for m in model.modules())

    def test_feature_only_the_last_pass(self):
        model = chain(a=conv(), relu=nn.ReLU())
        recorder = ActivationRecorder(model, ['a'])
        for number in (2, 1):
            with recorder.recording():
                model(images(number, size=8))
        assert recorder.maps()['a'].shape[0] == 1
        assert recorder.raw()['a'].requires_grad

    def test_feature_unknown_layer_is_not_recorded(self):
        assert record(chain(a=conv()), 'none') == {}

    def test_feature_activation_functions(self):
        yes = (nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Sigmoid())
        assert all(map(is_activation, yes))
        no = (nn.BatchNorm2d(2), nn.MaxPool2d(2), nn.Identity(), conv())
        assert not any(map(is_activation, no))

    def test_shape_channels_first(self):
        maps = torch.zeros(2, 3, 4, 5)
        assert channels_first(maps, conv()).shape == (2, 3, 4, 5)
        assert channels_first(maps, nn.Linear(2, 5)).shape == (2, 5, 3, 4)


class TestFilterLayers:
    def test_feature_in_the_order_in_which_they_run(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.second, self.first = conv(4, 5), conv()
                self.unused = conv()
                self.fc = nn.Linear(5, 2)

            def forward(self, given):
                return self.fc(self.second(self.first(given)).mean(dim=(2, 3)))

        assert filter_layers(Net(), images(size=8)) == ['first', 'second']

    def test_feature_below(self):
        model = nn.Module()
        model.backbone = build_backbone('LunaNet')
        names = filter_layers(model, images(), below='backbone')
        assert names[:2] == ['backbone.blocks.0.conv1', 'backbone.blocks.0.conv2']
        assert len(names) == 8

    def test_feature_training_mode_and_statistics_stay(self):
        model = build_backbone('ResNet18')
        model.train()
        before = model.bn1.running_mean.clone()
        assert len(filter_layers(model, images())) == 20
        assert model.training
        assert torch.equal(model.bn1.running_mean, before)
