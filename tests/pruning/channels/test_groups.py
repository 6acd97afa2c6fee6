"""Which channels hang together, and what says that it cannot be known."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from mmdefect.pruning.channels.groups import (
    ChannelGroup,
    Member,
    make_plan,
    trace_groups,
)
from mmdefect.pruning.channels.plan import LayerCut
from mmdefect.pruning.channels.rebuild import rebuild
from tests.helpers.networks import (
    Coupled,
    build_backbone,
    build_classifier,
    groups_of,
    images,
)


def trace(model, *layers, size=8):
    return trace_groups(model, images(size=size), layers=layers)


def shuffle(maps, other):
    number, channels, height, width = maps.shape
    parts = maps.view(number, 2, channels // 2, height, width)
    return parts.transpose(1, 2).reshape(maps.shape)


def gated(maps, other):
    one, two = maps.chunk(2, dim=1)
    return one * two.sigmoid()


class TestNetworks:
    def test_feature_resnet18(self):
        """The study's count: 4 groups of 3 convolutions, and 8 that are free."""
        groups = groups_of(build_backbone('ResNet18'))
        coupled = [set(group.filters) for group in groups if len(group.filters) > 1]
        assert coupled == [
            {'conv1', 'layer1.0.conv2', 'layer1.1.conv2'},
            *(
                {f'{s}.0.downsample.0', f'{s}.0.conv2', f'{s}.1.conv2'}
                for s in ('layer2', 'layer3', 'layer4')
            ),
        ]
        free = [group.name for group in groups if len(group.filters) == 1]
        assert free == [f'layer{s}.{b}.conv1' for s in range(1, 5) for b in range(2)]
        assert [g.channels for g in groups if g.name in free] == [
            8, 8, 16, 16, 32, 32, 64, 64,
        ]  # fmt: skip
        (group,) = [g for g in groups if g.name == 'layer1.0.conv1']
        assert {(member.layer, member.side) for member in group.members} == {
            ('layer1.0.conv1', 'out'),
            ('layer1.0.bn1', 'out'),
            ('layer1.0.conv2', 'in'),
        }
        assert all(m.index == tuple(range(8)) and m.total == 8 for m in group.members)

    def test_feature_sequential(self):
        """Every convolution by itself; the backbone returns nothing from eval()."""
        groups = groups_of(build_backbone('VGG11'))
        assert [group.channels for group in groups] == [
            64, 128, 256, 256, 512, 512, 512, 512,
        ]  # fmt: skip
        assert all(len(group.filters) == 1 for group in groups)

    def test_feature_depthwise_convolution_layer_scale_and_norm(self):
        groups = groups_of(build_backbone('MobileNetV2'))
        (group,) = [g for g in groups if g.name == 'layer3.1.conv.0.conv']
        assert group.filters == ('layer3.1.conv.0.conv', 'layer3.1.conv.1.conv')
        reached = {(member.layer, member.side) for member in group.members}
        assert ('layer3.1.conv.2.conv', 'in') in reached
        stem = groups_of(build_backbone('ConvNeXt'))[0]
        reached = {member.layer for member in stem.members}
        names = {'stages.0.0.gamma', 'stages.0.0.norm', 'downsample_layers.0.1'}
        assert names <= reached

    def test_feature_flattened_map(self):
        """A channel is followed by all pixels of its map."""
        model = build_classifier('FTLAlexNet', neck='mmdefect.FlattenNeck', pixels=4)
        group = groups_of(model, size=96)[-1]
        (head,) = [m for m in group.members if m.layer == 'head.fc']
        assert (head.total, len(head.index)) == (1024, 1024)
        assert head.of([1, 3], 256) == [4, 5, 6, 7, 12, 13, 14, 15]

    def test_feature_the_network_stays_as_it_is(self):
        model = build_backbone('LunaNet').requires_grad_(False)
        model.train()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        trace(model, 'blocks.0.conv1', size=16)
        assert model.training
        assert not any(p.requires_grad for p in model.parameters())
        for key, value in model.state_dict().items():
            assert torch.equal(value, before[key])


class TestCouplings:
    """Between two convolutions; equality with zeros decides."""

    @pytest.mark.parametrize(
        ('between', 'channels'),
        [
            (lambda a, b: a, 4),
            (lambda a, b: torch.cat([a, b], dim=1), 9),
            (lambda a, b: torch.cat([b, a], dim=1), 9),
            (lambda a, b: torch.cat([a, a], dim=1), 8),
            (lambda a, b: torch.cat([a, b, nn.MaxPool2d(3, 1, 1)(a)], dim=1), 13),
            (lambda a, b: nn.functional.pad(a, (0, 1, 2, 0)), 4),
        ],
        ids=['plain', 'cat', 'cat_behind', 'twice', 'pyramid', 'padded'],
    )
    def test_feature_equals_zeros(self, between, channels):
        model = Coupled(between, channels)
        plan = make_plan(trace(model, 'first'), {'first': [1, 3]})
        smaller, given = rebuild(model, plan), images(2, size=8)
        small = smaller(given)
        assert smaller.first.out_channels == 2
        with torch.no_grad():
            model.first.weight[[0, 2]] = 0
            model.first.bias[[0, 2]] = 0
        torch.testing.assert_close(model(given), small, rtol=1e-5, atol=1e-5)

    def test_feature_two_groups_in_one_layer(self):
        model = Coupled(lambda a, b: torch.cat([a, b], dim=1), 9)
        groups = trace(model, 'first', 'other')
        plan = make_plan(groups, {'first': [1, 3], 'other': [0, 4]})
        assert plan.layers['last'] == LayerCut(into=(1, 3, 4, 8), into_of=9)
        assert rebuild(model, plan)(images(size=8)).shape == (1, 6, 8, 8)

    @pytest.mark.parametrize(
        ('between', 'channels', 'message'),
        [
            (lambda a, b: a[:, :2], 2, 'channels to lead one by one to the 2 of last'),
            (gated, 2, 'to lead one by one to .* leave first out'),
            (shuffle, 4, 'first: expected channels that are not shuffled'),
        ],
        ids=['slice', 'gate', 'shuffle'],
    )
    def test_exception_coupling(self, between, channels, message):
        with pytest.raises(ValueError, match=message):
            trace(Coupled(between, channels), 'first')

    def test_exception_cannot_be_traced(self, monkeypatch):
        def fail(maps, other):
            raise RuntimeError('no such operation')

        message = r'^Coupled: expected a network .* RuntimeError: no such operation'
        with pytest.raises(ValueError, match=message):
            trace(Coupled(fail, 4), 'first')
        with pytest.raises(
            ValueError, match='first: expected a layer that the outputs'
        ):
            trace(Coupled(lambda a, b: a.detach(), 4), 'first')
        model = Coupled(lambda a, b: a, 4)
        model.last = nn.Conv2d(4, 6, 1, groups=2)
        with pytest.raises(ValueError, match=r'^last is a convolution in 2 groups'):
            trace(model, 'first')
        monkeypatch.setitem(sys.modules, 'torch_pruning', None)
        with pytest.raises(ImportError, match='pip install torch-pruning'):
            trace(Coupled(lambda a, b: a, 4), 'first')


class TestMakePlan:
    GROUP = ChannelGroup(
        name='a',
        channels=3,
        members=(
            Member(layer='a', side='out', index=(0, 1, 2), total=3),
            Member(layer='fc', side='in', index=(0, 1, 2, 3, 4, 5), total=6),
        ),
        filters=('a',),
    )

    def test_feature_cuts(self):
        plan = make_plan([self.GROUP], {'a': [2, 0]}, {'share': 0.5})
        assert plan.layers == {
            'a': LayerCut(out=(0, 2), out_of=3),
            'fc': LayerCut(into=(0, 1, 4, 5), into_of=6),
        }
        assert plan.origin == {'share': 0.5}

    @pytest.mark.parametrize('kept', [{}, {'a': [0, 1, 2]}])
    def test_feature_whole_groups_are_not_in_the_plan(self, kept):
        assert make_plan([self.GROUP], kept).layers == {}

    def test_exception_all_channels_gone(self):
        with pytest.raises(
            ValueError, match=r'^a: expected at least one of 3 channels'
        ):
            make_plan([self.GROUP], {'a': []})

    def test_feature_mean_score_of_coupled_filters(self):
        members = tuple(
            Member(layer=name, side='out', index=(0, 1), total=2)
            for name in ('a', 'norm', 'b')
        )
        group = ChannelGroup(name='a', channels=2, members=members, filters=('a', 'b'))
        # b's numbers are a hundred times as large and count as much: 0.5 and 1.5 of a,
        # 2 and 0 of b.
        scores = {'a': torch.tensor([1.0, 3.0]), 'b': torch.tensor([400.0, 0.0])}
        assert group.gathered(scores).tolist() == [1.25, 0.75]
        nothing = dict.fromkeys('ab', torch.zeros(2))
        assert group.gathered(nothing).tolist() == [0.0, 0.0]
        # Of a single layer they are its own.
        scores = {'a': torch.tensor([1.0, 7.0, 3.0])}
        assert self.GROUP.gathered(scores).tolist() == [1.0, 7.0, 3.0]
