"""Tests of tools/model_converters/torchvision_mobilenet_v2.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torchvision.models import mobilenet_v2

import mmdefect  # noqa: F401  lets mmdet find an NMS
from mmdefect.utils import load_weights

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / 'tools/model_converters/torchvision_mobilenet_v2.py'))


@pytest.fixture(scope='module')
def model() -> torch.nn.Module:
    """Return torchvision's model with random weights and lively statistics."""
    torch.manual_seed(0)
    model = mobilenet_v2()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


def test_smoke(model: torch.nn.Module, tmp_path: Path) -> None:
    """mmdet's backbone computes the same features at every depth."""
    from mmdet.models.backbones import MobileNetV2

    torch.save(model.state_dict(), tmp_path / 'in.pth')
    TOOL['main']([str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')])
    backbone = MobileNetV2(out_indices=(0, 3, 7))
    backbone.eval()
    backbone.load_state_dict(load_weights(tmp_path / 'out.pth')['state_dict'])
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found = backbone(image)
        # torchvision's blocks 1, 10 and 18 end mmdet's layers 1, 4 and conv2.
        expected = [model.features[: end + 1](image) for end in (1, 10, 18)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_smoke_mmpretrain(model: torch.nn.Module, tmp_path: Path) -> None:
    """mmpretrain's backbone, as an anomaly model loads it: all weights or none."""
    from mmdefect.models.anomaly.features import FrozenFeatures

    torch.save(model.state_dict(), tmp_path / 'in.pth')
    out = tmp_path / 'out.pth'
    TOOL['main']([str(tmp_path / 'in.pth'), str(out), '--for', 'mmpretrain'])
    backbone = {
        'type': 'mmpretrain.MobileNetV2',
        'out_indices': (0, 1, 2, 4),
        'init_cfg': {'type': 'Pretrained', 'checkpoint': str(out)},
    }
    features = FrozenFeatures(backbone=backbone, grid=4)
    features.init_weights()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found = features.backbone(image)
        # torchvision's blocks 1, 3, 6 and 13 end its strides 2, 4, 8 and 16.
        expected = [model.features[: end + 1](image) for end in (1, 3, 6, 13)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert features(image).shape == (1, 168, 4, 4)


def test_smoke_both(
    model: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command makes the files that all configs name."""
    (tmp_path / 'data/weights').mkdir(parents=True)
    source = 'data/weights/mobilenet_v2-b0353104.pth'
    monkeypatch.chdir(tmp_path)
    torch.save(model.state_dict(), source)
    TOOL['main']([source])
    for package in ('mmdet', 'mmpretrain'):
        found = load_weights(f'data/weights/mobilenet_v2-in1k-{package}.pth')
        expected = TOOL['convert'](model.state_dict(), package)
        assert found['state_dict'].keys() == expected.keys()
        assert all(torch.equal(found['state_dict'][k], v) for k, v in expected.items())
    TOOL['main']([source, 'one', '--for', 'mmdet'])
    assert [path.name for path in Path('one').iterdir()] == [
        'mobilenet_v2-in1k-mmdet.pth'
    ]


@pytest.mark.parametrize(
    ('name', 'package', 'chosen'),
    [
        ('a.pth', None, 'mmdet'),
        ('a.pth', 'mmpretrain', 'mmpretrain'),
        ('a-mmpretrain.pth', None, 'mmpretrain'),
        ('a-mmpretrain.pth', 'mmdet', 'mmdet'),
    ],
)
def test_feature_a_file_is_of_one_package(
    name: str, package: str | None, chosen: str
) -> None:
    assert TOOL['targets'](Path(name), package) == {chosen: Path(name)}


def test_exception_two_in_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        TOOL['main'](['in.pth', 'out.pth', '--for', 'both'])
    assert 'expected a folder for the two files' in capsys.readouterr().err


def test_exception_weights_of_the_other_package(
    model: torch.nn.Module, tmp_path: Path
) -> None:
    from mmdefect.models.anomaly.features import FrozenFeatures

    out = tmp_path / 'out.pth'
    torch.save({'state_dict': TOOL['convert'](model.state_dict())}, out)
    backbone = {
        'type': 'mmpretrain.MobileNetV2',
        'out_indices': (0, 1, 2, 4),
        'init_cfg': {'type': 'Pretrained', 'checkpoint': str(out)},
    }
    with pytest.raises(ValueError, match=r'lacks \d+ of the .* weights of MobileNetV2'):
        FrozenFeatures(backbone=backbone, grid=4).init_weights()


@pytest.mark.parametrize('change', ['missing', 'extra', 'shape'])
def test_exception_another_network(model: torch.nn.Module, change: str) -> None:
    state = dict(model.state_dict())
    name = {
        'missing': 'layer3.1.depthwise_conv.bn.bias',
        'extra': 'features.19.0.weight',
        'shape': 'conv2.conv.weight',
    }[change]
    if change == 'missing':
        del state['features.5.conv.1.1.bias']
    elif change == 'extra':
        state['features.19.0.weight'] = torch.ones(1)
    else:
        state['features.18.0.weight'] = torch.ones(1280, 320, 3, 3)
    with pytest.raises(ValueError, match=rf'^1 weights do not match .* {name}: give'):
        TOOL['convert'](state)


@pytest.mark.parametrize('package', ['mmdet', 'mmpretrain'])
def test_exception_another_width(package: str) -> None:
    state = mobilenet_v2(width_mult=0.5).state_dict()
    with pytest.raises(ValueError, match=f'do not match {package} MobileNetV2'):
        TOOL['convert'](state, package)


def test_feature_in_whatever_order(model: torch.nn.Module) -> None:
    """Golden: as names of both, also of a file that is sorted by name."""
    state = dict(sorted(model.state_dict().items()))
    converted = {name: TOOL['convert'](state, name) for name in ('mmdet', 'mmpretrain')}
    for theirs, mmdet, mmpretrain in (
        ('0.1.bias', 'conv1.bn.bias', 'conv1.bn.bias'),
        ('1.conv.1.weight', '1.0.linear_conv.conv.weight', '1.0.conv.1.conv.weight'),
        ('2.conv.0.0.weight', '2.0.expand_conv.conv.weight', '2.0.conv.0.conv.weight'),
        ('17.conv.3.bias', '7.0.linear_conv.bn.bias', '7.0.conv.2.bn.bias'),
        ('18.0.weight', 'conv2.conv.weight', 'conv2.conv.weight'),
    ):
        for name, package in ((mmdet, 'mmdet'), (mmpretrain, 'mmpretrain')):
            name = name if name.startswith('conv') else f'layer{name}'
            assert torch.equal(converted[package][name], state[f'features.{theirs}']), (
                name
            )
