"""Saliency maps: against their formulas on networks small enough to compute them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.models.classification.head import DefectClsHead
from mmdefect.models.classification.luna import LunaNet
from mmdefect.models.classification.neck import FlattenNeck
from mmdefect.visualization.saliency import (
    default_layer,
    find_layer,
    grad_cam,
    integrated_gradients,
    occlusion,
    saliency_panels,
    scaled_maps,
)

SWIN = {
    'type': 'SwinTransformer',
    'arch': {'embed_dims': 8, 'depths': [1, 1, 3, 1], 'num_heads': [1, 1, 2, 2]},
    'img_size': 224,
}
WIDTHS = dict(embed_dims=12, num_layers=2, num_heads=3, feedforward_channels=24)
VIT = dict(type='VisionTransformer', arch=WIDTHS, img_size=32)
CONVNEXT = dict(type='ConvNeXt', arch=dict(depths=[1] * 4, channels=[8, 8, 16, 16]))
GAP = {'type': 'GlobalAveragePooling'}


class Flat(nn.Module):
    """The pixels themselves."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images.flatten(1),)


def luna(*, flatten: bool = False) -> ImageClassifier:
    """Two blocks, 20 x 24 pixels to 8 x 5 x 6."""
    torch.manual_seed(0)
    return classifier(
        LunaNet(base_channels=4, num_blocks=2),
        FlattenNeck() if flatten else GAP,
        8 * 5 * 6 if flatten else 8,
    )


def classifier(backbone, neck, channels: int) -> ImageClassifier:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return ImageClassifier(
            backbone=backbone, neck=neck, head=DefectClsHead(in_channels=channels)
        )


def linear(height: int = 6, width: int = 6) -> ImageClassifier:
    torch.manual_seed(0)
    return classifier(Flat(), None, 3 * height * width)


def images(height: int = 20, width: int = 24, number: int = 2) -> torch.Tensor:
    seeded = torch.Generator().manual_seed(1)
    return torch.randn(number, 3, height, width, generator=seeded)


def cam(model: ImageClassifier, batch: torch.Tensor, target) -> torch.Tensor:
    """Class activation map (Zhou et al. 2016): what Grad-CAM is before a pooling."""
    with torch.no_grad():
        maps = model.eval().backbone(batch)[-1]
        weights = model.head.fc.weight[torch.as_tensor(target).expand(len(batch))]
        raw = (weights[:, :, None, None] * maps).sum(1, keepdim=True).relu()
        raw = F.interpolate(raw, batch.shape[-2:], mode='bilinear')[:, 0]
    return raw / raw.amax((1, 2), keepdim=True)


@pytest.mark.parametrize('target', [0, 1, torch.tensor([1, 0])])
def test_feature_grad_cam_is_cam_before_a_pooling(target) -> None:
    model, batch = luna(), images()
    found = grad_cam(model, 'backbone.blocks.1', batch, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, cam(model, batch, target))


def test_feature_grad_cam_by_its_formula() -> None:
    """A layer in the middle; the ReLU behind it works in place."""
    model, batch = luna(flatten=True).eval(), images()
    kept = []
    layer = model.backbone.blocks[1].conv1
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    handle = layer.register_forward_hook(lambda m, a, out: kept.append(out))
    logits = model(batch, mode='tensor')
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), kept[-1])
    weights = gradient.mean((2, 3), keepdim=True)
    raw = (weights * kept[-1]).sum(1).relu()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    found = grad_cam(model, 'backbone.blocks.1.conv1', batch, 1)
    torch.testing.assert_close(found, scaled_maps(raw, (20, 24)))


def test_feature_the_predicted_class_by_default() -> None:
    model, batch = luna(), images(number=6)
    model.head.fc.bias.data = torch.tensor([0.0, 0.0])
    predicted = model.eval()(batch, mode='tensor').argmax(1)
    given = grad_cam(model, 'backbone.blocks.1', batch, predicted)
    assert torch.equal(grad_cam(model, 'backbone.blocks.1', batch), given)
    other = grad_cam(model, 'backbone.blocks.1', batch, 1 - predicted)
    assert not torch.equal(other, given)


def test_feature_frozen_weights_and_no_grad() -> None:
    model, batch = luna(), images()
    expected = grad_cam(model, 'backbone.blocks.1', batch, 0)
    model.requires_grad_(False)
    with torch.no_grad():
        found = grad_cam(model, model.backbone.blocks[1], batch, 0)
    assert torch.equal(found, expected)
    assert all(p.grad is None for p in model.parameters())


def test_feature_modes_come_back() -> None:
    """Also of parts that were in another mode than the whole, and after an error."""
    model = luna().train()
    model.backbone.input_norm.eval()
    grad_cam(model, 'backbone.blocks.1', images(), 0)
    with pytest.raises(RuntimeError, match='running_mean'):
        grad_cam(model, 'backbone.blocks.1', images()[:, :2], 0)
    assert model.backbone.blocks[0].training
    assert not model.backbone.input_norm.training


def test_feature_no_evidence_is_a_map_of_zeros() -> None:
    model = luna()
    model.head.fc.weight.data.fill_(-1)  # behind a ReLU: never evidence
    assert not grad_cam(model, 'backbone.blocks.1', images(), 0).any()


def test_feature_scaled_maps() -> None:
    maps = torch.tensor([[[0.0, 4.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert scaled_maps(maps, (2, 2)).tolist() == [[[0, 1], [0.5, 0.25]], [[0, 0]] * 2]
    grown = scaled_maps(maps, (4, 6))
    assert grown.shape == (2, 4, 6)
    assert grown[0].max() == 1


@pytest.mark.parametrize(
    ('make', 'size', 'expected'),
    [
        (luna, 20, 'backbone.blocks.1'),
        (lambda: luna(flatten=True), (20, 24), 'backbone.blocks.1'),
        (lambda: classifier({'type': 'ResNet', 'depth': 18}, GAP, 512), 64, 'layer4'),
        (lambda: classifier(CONVNEXT, None, 16), 64, 'backbone.stages.3'),
        (lambda: classifier(SWIN, GAP, 64), 224, 'backbone'),
    ],
    ids=['luna', 'luna-flat', 'resnet', 'convnext', 'swin'],
)
def test_feature_default_layer(make, size, expected) -> None:
    model = make()
    batch = images(*(size if isinstance(size, tuple) else (size, size)), number=1)
    name = default_layer(model, batch)
    assert name.removeprefix('backbone.' if expected == 'layer4' else '') == expected
    found = grad_cam(model, name, batch, 0)
    assert found.shape == batch.shape[:1] + batch.shape[-2:]
    assert not any(module._forward_hooks for module in model.modules())


def test_feature_integrated_gradients_of_a_line() -> None:
    """For a linear network they are weight times pixel, whatever the steps."""
    model, batch = linear(), images(6, 6)
    weight = model.head.fc.weight[1].view(3, 6, 6).detach()
    expected = scaled_maps((weight * batch).sum(1).relu(), (6, 6))
    for steps, size in ((200, 16), (7, 1)):
        found = integrated_gradients(model, batch, 1, steps=steps, batch=size)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_feature_occlusion_of_a_line() -> None:
    """Painting a window over takes away what its pixels added."""
    model, batch = linear(), images(6, 6)
    weight = model.head.fc.weight[0].view(3, 6, 6).detach()
    drop = 9 * F.avg_pool2d((weight * batch).sum(1), 3)
    drop = drop.relu().repeat_interleave(3, 1).repeat_interleave(3, 2)
    expected = scaled_maps(drop, (6, 6))
    found = occlusion(model, batch, 0, window=3, stride=3)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_feature_panels() -> None:
    image = np.full((20, 24, 3), 128, dtype=np.uint8)
    saliency = np.zeros((5, 6), dtype=np.float32)
    saliency[0, 0] = 1
    mask = np.zeros((20, 24), dtype=bool)
    mask[10:15, 10:15] = True
    panels = saliency_panels(image, saliency, mask)
    assert list(panels) == ['image', 'mask', 'saliency']
    assert all(panel.shape == image.shape for panel in panels.values())
    assert panels['mask'][12, 12].tolist() == [255, 255, 255]
    assert panels['mask'][0, 0].tolist() == [0, 0, 0]
    # Red where the evidence is, blue elsewhere, the outline in white.
    assert panels['saliency'][0, 0, 2] > panels['saliency'][0, 0, 0]
    assert panels['saliency'][18, 2, 0] > panels['saliency'][18, 2, 2]
    assert (panels['saliency'] == 255).all(-1).any()
    bare = saliency_panels(image, saliency)
    assert list(bare) == ['image', 'saliency']
    assert not (bare['saliency'] == 255).all(-1).any()


def test_exception() -> None:
    model, vit, line = luna(), classifier(VIT, None, 12), linear()
    batch, large, small = images(), images(32, 32), images(6, 6)
    windows = '1 <= stride <= window <= 6'
    for call, message in (
        (lambda: grad_cam(model, 'backbone.block.1', batch, 0), r'block.1.*blocks\.1'),
        (lambda: find_layer(model, 'zzzz'), 'near are data_preprocessor, backbone'),
        (lambda: find_layer(model, ''), "layer='': expected the name of a module"),
        (lambda: grad_cam(model, 'head.fc', batch, 0), "'head.fc' gives no map"),
        (lambda: default_layer(vit, large), 'ImageClassifier has no layer whose out'),
        (lambda: grad_cam(vit, 'backbone.layers.1', large, 0), "1' gives no map"),
        (lambda: occlusion(line, small, 0, window=7, stride=1), windows),
        (lambda: occlusion(line, small, 0, window=3, stride=4), windows),
        (lambda: occlusion(line, small, 0, window=3, stride=0), windows),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_exception_captum_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'captum', None)
    with pytest.raises(ImportError, match='LayerGradCam: expected the package captum'):
        grad_cam(luna(), 'backbone.blocks.1', images(), 0)
