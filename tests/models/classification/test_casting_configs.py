"""The eight classifiers of the study and three more, as their configs say."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS

from mmdefect.converters.weight_layouts import BACKBONES
from tests.helpers.configs import scope, without
from tests.models.classification.conftest import (
    CONFIGS,
    EXTRA,
    PARAMETERS,
    build,
    config_of,
)

# What matters in training only.
TRAINING = {'init_cfg', 'drop_path_rate', 'conv_cfg'}
TRANSFORMERS = ('vit_b16', 'swin_tiny', 'dino_vits8')


def test_smoke_these_are_all():
    names = {path.stem for path in CONFIGS.glob('*.py')}
    assert names == {*PARAMETERS, *EXTRA}


@pytest.mark.parametrize('name', [*PARAMETERS, *EXTRA])
def test_feature_parameters_and_logits(name):
    """The counts of the published study, and logits at its image size."""
    model = build(name, 'meta').eval()
    counts = [sum(p.numel() for p in m.parameters()) for m in (model, model.head)]
    assert tuple(counts) == {**PARAMETERS, **EXTRA}[name]
    size = 224 if name in TRANSFORMERS else 300
    with torch.no_grad():
        assert model(torch.zeros(2, 3, size, size, device='meta')).shape == (2, 2)


@pytest.mark.parametrize('name', PARAMETERS)
def test_feature_converted_weights_are_of_this_backbone(name):
    backbone = dict(config_of(name).backbone)
    theirs = without(BACKBONES[name], {'type'})
    ours = without(backbone, {*TRAINING, 'type'})
    assert ours.items() <= {'img_size': 224, **theirs}.items()
    assert theirs.items() <= {'img_size': 224, **ours}.items()
    assert BACKBONES[name]['type'].removeprefix('mmpretrain.') == backbone['type']


@pytest.mark.parametrize('name', [*PARAMETERS, *EXTRA])
def test_feature_pretrained_file(name):
    """Named as the converters write it; LUNA has none."""
    init = config_of(name).backbone.get('init_cfg')
    if name == 'luna':
        assert init is None
    elif name == 'mobilenet_v2':
        assert init.checkpoint == 'data/weights/mobilenet_v2-in1k-mmpretrain.pth'
        assert 'prefix' not in init
    else:
        rgb = '-rgb' if name == 'resnet50_caffe' else ''
        assert init.checkpoint == f'data/weights/{name}{rgb}-mmpretrain.pth'
        assert init.prefix == 'backbone'
        assert f'--arch {name} ' in (CONFIGS / f'{name}.py').read_text(encoding='utf-8')


@pytest.mark.parametrize('name', ['mmdet', 'mmpretrain', None])
def test_feature_builds_in_any_scope(name):
    model = {**config_of('luna'), '_scope_': 'mmpretrain'}
    with scope(name):
        built = MODELS.build(model)
    assert type(built).__module__.startswith('mmpretrain.')
    assert type(built.head).__module__.startswith('mmdefect.')
    assert type(built.head.loss_module).__module__.startswith('mmpretrain.')
