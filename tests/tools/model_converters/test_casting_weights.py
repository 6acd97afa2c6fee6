"""Tests of tools/model_converters/casting_weights.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18, resnet50, squeezenet1_1

from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.normalisation import CAFFE, IMAGENET
from tests.models.classification.conftest import build

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / 'tools/model_converters/casting_weights.py'))


def convert(source: Path, arch: str = 'resnet18') -> Path:
    target = source.with_name('new') / 'out.pth'
    TOOL['main']([str(source), str(target), '--arch', arch])
    return target


@pytest.fixture(scope='module')
def states() -> dict[int, dict[str, torch.Tensor]]:
    return {n: resnet18(num_classes=n).state_dict() for n in (2, 1000)}


def test_smoke_two_classes(states, tmp_path, capsys) -> None:
    """The file holds a whole classifier."""
    torch.save(states[2], tmp_path / 'in.pth')
    target = convert(tmp_path / 'in.pth')
    assert capsys.readouterr().out == (
        f'{target}: 122 weights of resnet18, for RGB images of mean (123.7, 116.3, '
        '103.5) and deviation (58.4, 57.12, 57.38)\n'
    )
    written = load_weights(target)
    assert written['meta'] == {
        'arch': 'resnet18',
        'normalisation': {
            'mean': (123.675, 116.28, 103.53),
            'std': (58.395, 57.12, 57.375),
            'rgb': True,
        },
    }
    model = build('resnet18', 'meta').to_empty(device='cpu')
    model.load_state_dict(written['state_dict'])
    assert (float(model.head.temperature), float(model.head.threshold)) == (1.0, 0.5)
    assert torch.equal(model.head.fc.bias, states[2]['fc.bias'])
    assert torch.equal(model.backbone.conv1.weight, states[2]['conv1.weight'])


def test_feature_imagenet_head_is_left_out(states, tmp_path, capsys) -> None:
    """And said to be, in a checkpoint of DDP as well."""
    wrapped = {f'module.{name}': value for name, value in states[1000].items()}
    torch.save({'state_dict': wrapped, 'epoch': 3}, tmp_path / 'in.pth')
    target = convert(tmp_path / 'in.pth')
    written = load_weights(target)['state_dict']
    assert len(written) == 120
    assert all(name.startswith('backbone.') for name in written)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith('Left out the head, which has 1000 classes where this')
    assert len(said) == 2


def test_feature_mmengine_s_loader_takes_it(states, tmp_path) -> None:
    """As the config names it: ``Pretrained`` with the prefix ``backbone``."""
    torch.save(states[1000], tmp_path / 'in.pth')
    checkpoint = str(convert(tmp_path / 'in.pth'))
    init = {'type': 'Pretrained', 'prefix': 'backbone', 'checkpoint': checkpoint}
    model = build('resnet18', init_cfg=init)
    model.init_weights()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, states[1000][name]), name


def test_feature_caffe_for_rgb(tmp_path, capsys) -> None:
    """The file says what it is for, and in what style."""
    state = resnet50().state_dict()
    torch.save(state, tmp_path / 'in.pth')
    found = {}
    for name, more in {'bgr': (), 'rgb': ('--rgb',)}.items():
        target = tmp_path / f'{name}.pth'
        words = [str(tmp_path / 'in.pth'), str(target), '--arch', 'resnet50_caffe']
        TOOL['main']([*words, *more])
        found[name] = load_weights(target)
    assert [found[name]['meta']['style'] for name in found] == ['caffe', 'caffe']
    rgb = found['rgb']['state_dict']['backbone.conv1.weight']
    assert found['bgr']['meta']['normalisation'] == CAFFE._asdict()
    assert found['rgb']['meta']['normalisation'] == IMAGENET._asdict()
    torch.testing.assert_close(rgb[:, 0], state['conv1.weight'][:, 2] * 58.395)
    assert capsys.readouterr().out.count('for RGB images') == 1


class TestExceptions:
    def refused(self, source: Path, capsys, arch: str = 'resnet18') -> str:
        with pytest.raises(SystemExit) as caught:
            convert(source, arch)
        assert caught.value.code == 2
        assert not (source.with_name('new') / 'out.pth').exists()
        return capsys.readouterr().err.splitlines()[-1]

    def test_exception_a_pickled_model(self, tmp_path, capsys):
        """Nothing of it is run."""
        torch.save(squeezenet1_1(num_classes=2), tmp_path / 'in.pth')
        error = self.refused(tmp_path / 'in.pth', capsys)
        assert "it names 'torchvision.models.squeezenet.SqueezeNet', which" in error
        assert 'is a program that runs when it is read' in error
        assert error.endswith('save model.state_dict()')

    def test_exception_another_architecture(self, states, tmp_path, capsys):
        torch.save(states[2], tmp_path / 'in.pth')
        error = self.refused(tmp_path / 'in.pth', capsys, 'alexnet')
        assert 'these are not the weights of alexnet: 14 of 14 weights are' in error
        assert error.endswith('give a state_dict of torchvision.models.alexnet')

    def test_exception_no_file(self, tmp_path, capsys):
        error = self.refused(tmp_path / 'in.pth', capsys)
        assert 'there is no checkpoint at' in error

    def test_exception_rgb_of_another(self, states, tmp_path, capsys):
        torch.save(states[2], tmp_path / 'in.pth')
        paths = [str(tmp_path / name) for name in ('in.pth', 'out.pth')]
        with pytest.raises(SystemExit):
            TOOL['main']([*paths, '--rgb', '--arch', 'resnet18'])
        assert '--rgb: expected --arch resnet50_caffe' in capsys.readouterr().err
