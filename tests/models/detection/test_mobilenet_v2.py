from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.models.backbones import MobileNetV2
from torch import nn

from mmdefect.models.detection.mobilenet_v2 import DetectionMobileNetV2
from mmdefect.registry import MODELS

SETTINGS: dict[str, Any] = {
    'out_indices': (2, 4, 6),
    'frozen_stages': 2,
    'norm_eval': True,
    'widen_factor': 0.25,
}


@pytest.fixture
def pair() -> tuple[DetectionMobileNetV2, MobileNetV2]:
    """Ours and mmdet's, which holds the weights of an old checkpoint."""
    torch.manual_seed(0)
    theirs = MobileNetV2(**SETTINGS)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    ours = MODELS.build({'type': 'mmdefect.DetectionMobileNetV2', **SETTINGS})
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def trained(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('mode', [True, False])
def test_feature_equals_mmdets(pair: tuple[Any, Any], mode: bool) -> None:
    """Old checkpoints fit, outputs and gradients are the same to the bit."""
    images = torch.randn(2, 3, 64, 64)
    for model in pair:
        model.train(mode)
    found = [model(images) for model in pair]
    assert [map_.shape[1] for map_ in found[0]] == [8, 24, 80]
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)
    for outputs in found:
        sum(map_.square().sum() for map_ in outputs).backward()
    for (name, ours), theirs in zip(
        pair[0].named_parameters(), pair[1].parameters(), strict=True
    ):
        assert (ours.grad is None) == (theirs.grad is None), name
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad), name
    pair[1].load_state_dict(pair[0].state_dict(), strict=True)


def test_feature_what_trains(pair: tuple[Any, Any]) -> None:
    """When it is built, as much as of mmdet's; then only what is run."""
    ours, theirs = pair
    assert trained(ours) == trained(theirs)
    ours.train()
    stages = {name.partition('.')[0] for name in trained(ours)}
    assert stages == {'layer3', 'layer4', 'layer5', 'layer6', 'layer7'}
    norms = [m for m in ours.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)


def test_feature_what_no_output_needs_is_not_run(pair: tuple[Any, Any]) -> None:
    ours, _ = pair
    ours.conv2.register_forward_hook(lambda *_: pytest.fail('conv2 was run'))
    ours(torch.randn(2, 3, 64, 64))


def test_feature_the_last_layer_as_output() -> None:
    model = DetectionMobileNetV2(out_indices=(7,), widen_factor=0.25)
    (found,) = model(torch.randn(2, 3, 64, 64))
    assert found.shape == (2, 1280, 2, 2)
    model.train()
    assert 'conv2.conv.weight' in trained(model)
