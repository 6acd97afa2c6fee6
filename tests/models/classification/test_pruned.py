"""A pruned backbone in place of a whole one."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.runner.checkpoint import load_state_dict

from mmdefect.models.classification.pruned import PrunedBackbone, pruned_widths
from mmdefect.pruning.channels.plan import ChannelPlan, LayerCut, write_plan
from mmdefect.pruning.channels.rebuild import rebuild
from tests.helpers.configs import scope
from tests.helpers.networks import (
    BACKBONES,
    build_backbone,
    build_classifier,
    groups_of,
    half,
    images,
)

RESNET = {**BACKBONES['ResNet18'], 'type': 'mmpretrain.ResNet'}
LUNA = {'type': 'mmdefect.LunaNet', 'base_channels': 4}
LUNA_PLAN = ChannelPlan(
    layers={
        'blocks.0.conv1': LayerCut(out=(1, 2), out_of=4),
        'blocks.0.conv2': LayerCut(into=(1, 2), into_of=4),
    }
)
LUNA_WIDTHS = ChannelPlan(
    layers={
        'blocks.0.conv1': LayerCut(out=2, out_of=4),
        'blocks.0.conv2': LayerCut(into=2, into_of=4),
    }
)


@pytest.fixture(scope='module')
def classifier():
    """A whole ResNet-18 with a head, and a plan of it."""
    model = build_classifier('ResNet18')
    return model, half(model, groups_of(model))


def luna():
    """A whole one with weights of its own."""
    torch.manual_seed(5)
    return MODELS.build(dict(LUNA)).eval()


def save(path, model, prefix=''):
    state = {prefix + key: value for key, value in model.state_dict().items()}
    torch.save({'state_dict': state}, path)
    return str(path)


def pretrained(path, **settings):
    return {'type': 'Pretrained', 'checkpoint': path, **settings}


def same(one, other) -> bool:
    theirs = other.state_dict()
    return all(
        torch.equal(value, theirs[key]) for key, value in one.state_dict().items()
    )


class TestInPlace:
    @pytest.mark.parametrize('name', ['ResNet18', 'MobileNetV2', 'LunaNet'])
    def test_smoke(self, name):
        whole = build_backbone(name)
        plan = half(whole, groups_of(whole, size=32))
        with scope('mmpretrain'):
            backbone = PrunedBackbone(backbone=BACKBONES[name], plan=plan)
        backbone.init_weights()
        maps = backbone(images(2, size=32))
        assert isinstance(maps, tuple)
        assert [level.shape[1] for level in maps] == backbone.widths(32)
        assert maps[-1].shape[1] == whole(images(size=32))[-1].shape[1] // 2

    def test_feature_names_are_the_inner_ones(self, classifier):
        """A pruned classifier's checkpoint loads as it is."""
        model, plan = classifier
        backbone = PrunedBackbone(backbone=RESNET, plan=plan)
        cut = rebuild(model, plan).backbone
        assert list(backbone.state_dict()) == list(cut.state_dict())
        assert [n for n, _ in backbone.named_parameters()] == [
            n for n, _ in cut.named_parameters()
        ]
        assert [n for n, _ in backbone.named_modules()] == [
            n for n, _ in cut.named_modules()
        ]
        backbone.load_state_dict(cut.state_dict())
        cut.eval()
        backbone.eval()
        for ours, theirs in zip(backbone(images(2)), cut(images(2)), strict=True):
            assert torch.equal(ours, theirs)

    @pytest.mark.parametrize('default', ['mmpretrain', 'mmdet', None])
    def test_feature_types_are_found(self, default):
        """With their prefix everywhere, without it in the scope of the config."""
        kind = 'ResNet' if default else 'mmpretrain.ResNet'
        cfg = {
            'type': 'mmdefect.PrunedBackbone',
            'backbone': {'type': kind, 'depth': 18, 'stem_channels': 8},
            'plan': ChannelPlan(layers={}),
        }
        with scope(default):
            backbone = MODELS.build(cfg)
        package = default or 'mmpretrain'
        assert type(backbone._inner[0]).__module__.startswith(f'{package}.')

    def test_feature_other_attributes_are_the_inner_ones(self):
        backbone = PrunedBackbone(
            backbone={**RESNET, 'out_indices': (1, 3)}, plan=ChannelPlan(layers={})
        )
        assert backbone.out_indices == (1, 3)
        assert not hasattr(backbone, 'no_such_thing')

    def test_feature_moves_and_converts(self):
        backbone = PrunedBackbone(backbone=LUNA, plan=LUNA_PLAN).double()
        (maps,) = backbone(images().double())
        assert maps.dtype == torch.float64
        backbone(images().double())[0].sum().backward()
        assert all(p.grad is not None for p in backbone.parameters())

    @pytest.mark.parametrize(
        'copied', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
    )
    def test_feature_copies(self, copied):
        backbone = PrunedBackbone(backbone=LUNA, plan=LUNA_PLAN).eval()
        other = copied(backbone)
        assert torch.equal(other(images())[0], backbone(images())[0])
        with torch.no_grad():
            other.blocks[0].conv1.weight.zero_()
        # What the copy computes is what it holds, and the first one stays.
        assert not torch.equal(other(images())[0], backbone(images())[0])
        assert other.plan == backbone.plan

    def test_feature_frozen_stages_and_norm_eval(self):
        cfg = {**RESNET, 'frozen_stages': 1, 'norm_eval': True}
        backbone = PrunedBackbone(backbone=cfg, plan=ChannelPlan(layers={}))
        assert backbone.train() is backbone
        assert backbone.training
        assert backbone.layer4.training
        assert not backbone.layer1.training
        assert not backbone.layer4[0].bn1.training
        frozen = [n for n, p in backbone.named_parameters() if not p.requires_grad]
        assert {name.split('.')[0] for name in frozen} == {'conv1', 'bn1', 'layer1'}
        backbone.eval()
        assert not backbone.training
        assert not backbone.layer4.training


class TestPlan:
    def test_feature_forms_of_a_plan(self, tmp_path):
        path = write_plan(LUNA_PLAN, tmp_path / 'plan.json')
        content = {
            'format': 'mmdefect-channel-plan/1',
            'layers': {
                'blocks.0.conv1': {'out': [1, 2], 'out_of': 4},
                'blocks.0.conv2': {'in': [1, 2], 'in_of': 4},
            },
        }
        for plan in (path, str(path), content, LUNA_PLAN):
            backbone = PrunedBackbone(backbone=LUNA, plan=plan)
            assert backbone.plan.layers == LUNA_PLAN.layers
            assert backbone.blocks[0].conv1.out_channels == 2

    def test_feature_part_of_a_classifiers_plan(self):
        named = {f'backbone.{name}': cut for name, cut in LUNA_PLAN.layers.items()}
        plan = ChannelPlan(layers={**named, 'head.fc': LayerCut(into=(0,), into_of=9)})
        backbone = PrunedBackbone(backbone=LUNA, plan=plan)
        assert backbone.plan.layers == LUNA_PLAN.layers

    def test_feature_widths(self, classifier):
        cfg = {**RESNET, 'out_indices': (0, 1, 2, 3)}
        _, plan = classifier
        backbone = PrunedBackbone(backbone=cfg, plan=plan).train()
        assert backbone.widths(32) == backbone.widths((32, 64)) == [4, 8, 16, 32]
        assert backbone.training
        # Of a config, whose weights need not be there.
        whole = {**cfg, 'init_cfg': pretrained('/no/such/file.pth')}
        assert pruned_widths(whole, plan, size=32) == [4, 8, 16, 32]

    def test_exception_no_plan(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='there is no channel plan'):
            PrunedBackbone(backbone=LUNA, plan=tmp_path / 'plan.json')

    def test_exception_another_architecture(self):
        with pytest.raises(ValueError, match=r'blocks\.0\.conv1: .*ResNet does not'):
            PrunedBackbone(backbone=RESNET, plan=LUNA_PLAN)

    @pytest.mark.parametrize(
        ('given', 'message'),
        [
            ({'backbone': LUNA, 'plan': 3}, r'^plan=3: expected'),
            (
                {'backbone': 'LunaNet', 'plan': LUNA_PLAN},
                r"^backbone='LunaNet': expected",
            ),
        ],
    )
    def test_exception_types(self, given, message):
        with pytest.raises(TypeError, match=message):
            PrunedBackbone(**given)


class TestWeights:
    def test_feature_of_the_whole_network_are_cut(self, tmp_path):
        whole = luna()
        path = save(tmp_path / 'whole.pth', whole, prefix='backbone.')
        backbone = PrunedBackbone(
            backbone={**LUNA, 'init_cfg': pretrained(path, prefix='backbone.')},
            plan=LUNA_PLAN,
        )
        expected = rebuild(whole, LUNA_PLAN)
        assert not same(backbone, expected)
        backbone.init_weights()
        assert same(backbone, expected)

    def test_feature_that_are_cut_already(self, tmp_path):
        """They win over those of the whole network, which need not be there."""
        cut = rebuild(luna(), LUNA_PLAN)
        path = save(tmp_path / 'cut.pth', cut, prefix='backbone.')
        backbone = PrunedBackbone(
            backbone={**LUNA, 'init_cfg': pretrained('/no/such/file.pth')},
            plan=LUNA_WIDTHS,
            init_cfg=pretrained(path, prefix='backbone.'),
        )
        backbone.init_weights()
        assert same(backbone, cut)

    @pytest.mark.parametrize('own', [True, False])
    def test_feature_random_by_a_config(self, own):
        """Drawn for the channels that there are: Kaiming's fan is the cut network's."""
        init = {'type': 'Constant', 'layer': 'Conv2d', 'val': 0.25, 'bias': 0.5}
        cfg = LUNA if own else {**LUNA, 'init_cfg': init}
        backbone = PrunedBackbone(
            backbone=cfg, plan=LUNA_WIDTHS, init_cfg=init if own else None
        )
        backbone.init_weights()
        assert bool((backbone.blocks[0].conv2.weight == 0.25).all())
        assert bool((backbone.blocks[0].conv2.bias == 0.5).all())

    def test_feature_of_a_module(self):
        """As they are, whatever its config says."""
        whole = luna()
        whole.init_cfg = pretrained('/no/such/file.pth')
        backbone = PrunedBackbone(backbone=whole, plan=LUNA_PLAN)
        backbone.init_weights()
        assert same(backbone, rebuild(whole, LUNA_PLAN))
        assert whole.blocks[0].conv1.out_channels == 4

    def test_feature_once(self):
        backbone = PrunedBackbone(backbone=LUNA, plan=LUNA_PLAN)
        backbone.init_weights()
        with torch.no_grad():
            backbone.blocks[0].conv1.weight.fill_(3.0)
        backbone.init_weights()
        assert bool((backbone.blocks[0].conv1.weight == 3).all())

    def test_feature_not_read_before(self):
        """Testing builds the model and loads a checkpoint: no other file is needed."""
        backbone = PrunedBackbone(
            backbone={**LUNA, 'init_cfg': pretrained('/no/such/file.pth')},
            plan=LUNA_PLAN,
        )
        cut = rebuild(luna(), LUNA_PLAN)
        load_state_dict(backbone, cut.state_dict())
        assert same(backbone, cut)
        with pytest.raises(FileNotFoundError, match='/no/such/file'):
            backbone.init_weights()

    def test_feature_pruned_twice(self, tmp_path):
        whole = luna()
        path = save(tmp_path / 'whole.pth', whole)
        second = ChannelPlan(
            layers={
                'blocks.0.conv1': LayerCut(out=(1,), out_of=2),
                'blocks.0.conv2': LayerCut(into=(1,), into_of=2),
            }
        )
        first = {
            'type': 'mmdefect.PrunedBackbone',
            'backbone': {**LUNA, 'init_cfg': pretrained(path)},
            'plan': LUNA_PLAN,
        }
        backbone = PrunedBackbone(backbone=first, plan=second)
        backbone.init_weights()
        assert same(backbone, rebuild(rebuild(whole, LUNA_PLAN), second))
        weight = whole.blocks[0].conv1.weight[[2]]
        assert torch.equal(backbone.blocks[0].conv1.weight, weight)


class TestWeightExceptions:
    @pytest.mark.parametrize('given', ['config', 'module', 'nested'])
    def test_exception_widths_only(self, given):
        cfg = {**LUNA, 'init_cfg': pretrained('whole.pth')}
        if given == 'nested':
            cfg = {
                'type': 'mmdefect.PrunedBackbone',
                'backbone': cfg,
                'plan': ChannelPlan(layers={}),
            }
        message = r'^plan: expected indices to cut the weights .* not widths alone'
        with pytest.raises(ValueError, match=message):
            PrunedBackbone(
                backbone=luna() if given == 'module' else cfg, plan=LUNA_WIDTHS
            )

    def test_exception_whole_weights_into_the_cut_network(self):
        """MMEngine alone would warn and go on with random ones."""
        backbone = PrunedBackbone(backbone=LUNA, plan=LUNA_PLAN)
        message = (
            r'^blocks\.0\.conv1\.weight of shape \(4, 3, 3, 3\): expected '
            r'\(2, 3, 3, 3\), .* init_cfg of the inner backbone$'
        )
        with pytest.raises(ValueError, match=message):
            load_state_dict(backbone, luna().state_dict())

    def test_exception_names_the_place_in_a_model(self):
        model = torch.nn.Module()
        model.backbone = PrunedBackbone(backbone=LUNA, plan=LUNA_PLAN)
        state = {f'backbone.{k}': v for k, v in luna().state_dict().items()}
        message = r'^backbone\.blocks\.0\.conv1\.weight of shape'
        with pytest.raises(ValueError, match=message):
            model.load_state_dict(state)

    @pytest.mark.parametrize('where', ['inner', 'own'])
    def test_exception_missing_weights(self, tmp_path, where):
        """A file without the prefix, or of another network."""
        path = save(tmp_path / 'x.pth', luna(), prefix='encoder.')
        cfg = {**LUNA, 'init_cfg': pretrained(path)} if where == 'inner' else LUNA
        own = pretrained(path) if where == 'own' else None
        backbone = PrunedBackbone(backbone=cfg, plan=LUNA_PLAN, init_cfg=own)
        with pytest.raises(ValueError, match=r'x\.pth does .* lacks \d+ of the'):
            backbone.init_weights()

    def test_exception_whole_weights_as_cut_ones(self, tmp_path):
        path = save(tmp_path / 'whole.pth', luna())
        backbone = PrunedBackbone(
            backbone=LUNA, plan=LUNA_PLAN, init_cfg=pretrained(path)
        )
        with pytest.raises(
            ValueError, match='weights of a network that was cut to this plan'
        ):
            backbone.init_weights()
