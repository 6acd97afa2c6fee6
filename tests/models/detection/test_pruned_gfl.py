"""A detector of mmdet over a pruned backbone."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import MODELS

from mmdefect.models.classification.pruned import PrunedBackbone, pruned_widths
from mmdefect.pruning.channels.groups import trace_groups
from mmdefect.pruning.scoring.activations import filter_layers
from mmdefect.pruning.sweep.keep import KeepPolicy, plan_of_fraction
from tests.helpers.configs import scope
from tests.models.detection.conftest import build, make_batch, toy_model

RESNET = {
    'type': 'ResNet',
    'depth': 18,
    'base_channels': 8,
    'stem_channels': 8,
    'out_indices': (1, 2, 3),
    'frozen_stages': 1,
    'norm_eval': True,
}


@pytest.fixture(scope='module')
def plan():
    """Half of the channels of mmpretrain's ResNet, whose layers have mmdet's names."""
    torch.manual_seed(0)
    cfg = {k: v for k, v in RESNET.items() if k not in ('frozen_stages', 'norm_eval')}
    with scope('mmpretrain'):
        whole = MODELS.build(cfg)
    image = torch.zeros(1, 3, 32, 32)
    layers = filter_layers(whole, image)
    groups = trace_groups(whole, image, layers=layers)
    scores = {
        name: torch.rand(len(whole.get_submodule(name).weight)) for name in layers
    }
    return plan_of_fraction(groups, [scores], KeepPolicy(), 0.5)


def detector(plan):
    cfg = toy_model(0)
    cfg.backbone = {
        'type': 'mmdefect.PrunedBackbone',
        'backbone': RESNET,
        'plan': plan,
    }
    cfg.neck.in_channels = pruned_widths(
        {**RESNET, 'type': 'mmdet.ResNet'}, plan, size=32
    )
    cfg.bbox_head.num_classes = 6
    torch.manual_seed(1)
    return build(cfg)


def test_feature_one_step(plan):
    model = detector(plan)
    model.init_weights()
    model.train()
    assert isinstance(model.backbone, PrunedBackbone)
    assert type(model.backbone._inner[0]).__module__.startswith('mmdet.')
    images, samples = make_batch()
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.01
    )
    before = copy.deepcopy(model.backbone.state_dict())
    loss, _ = model.parse_losses(model.loss(images, samples))
    assert loss.isfinite()
    assert loss > 0
    loss.backward()
    optimizer.step()
    moved = {
        name.split('.')[0]
        for name, value in model.backbone.state_dict().items()
        if not torch.equal(value, before[name])
    }
    # The frozen stage and, in all others, the statistics of batch norms stay.
    assert moved == {'layer2', 'layer3', 'layer4'}
