"""Pretrained files that do not fit stop a run."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from mmpretrain.models import ClsDataPreprocessor
from torch import nn

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks.pretrained import PairingHook, StrictPretrainedHook
from mmdefect.registry import HOOKS
from mmdefect.utils.normalisation import CAFFE, IMAGENET
from mmdefect.utils.pretrained import load_strictly, pretrained_modules
from tests.helpers.frozen_classifier import Classifier, runner_maker


@pytest.fixture
def make_runner(tmp_path):
    return runner_maker(tmp_path)


class Body(BaseModule):
    def __init__(self, init_cfg=None) -> None:
        super().__init__(init_cfg)
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.norm1 = nn.BatchNorm2d(4)

    def forward(self, x):
        return (self.norm1(self.conv1(x)).mean((2, 3)),)


class Initialised(Classifier):
    def __init__(self, init_cfg) -> None:
        super().__init__()
        self.backbone = Body(init_cfg)


def write(path, *, prefix='backbone.', change=None, **extra):
    """Weights of a body filled with ones, as the converters write them."""
    state = {name: torch.ones_like(v) for name, v in Body().state_dict().items()}
    if change == 'missing':
        del state['norm1.running_var']
    elif change == 'shape':
        state['conv1.weight'] = torch.ones(4, 3, 5, 5)
    state = {f'{prefix}{name}': value for name, value in state.items()}
    torch.save({'state_dict': {**state, **extra}}, path)
    return {'type': 'Pretrained', 'checkpoint': str(path), 'prefix': 'backbone'}


def test_smoke_weights_that_fit(make_runner, tmp_path):
    """Others may be there, and MMEngine then loads the same."""
    init = write(tmp_path / 'in.pth', **{'head.fc.bias': torch.zeros(2)})
    runner = make_runner(
        StrictPretrainedHook(),
        model=Initialised(init),
        optimizer={'type': 'SGD', 'lr': 0.0},
    )
    runner.train()
    assert (runner.model.backbone.conv1.weight == 1).all()


def test_feature_only_before_the_weights_are_initialised(make_runner, tmp_path):
    """A test after the training keeps what was trained; a test alone needs no file."""
    init = write(tmp_path / 'in.pth')
    runner = make_runner(StrictPretrainedHook(), model=Initialised(init))
    runner.call_hook('before_run')
    assert not (runner.model.backbone.conv1.weight == 1).any()
    runner.train()
    trained = runner.model.backbone.conv1.weight.clone()
    assert not (trained == 1).any()
    runner.call_hook('before_run')
    assert torch.equal(runner.model.backbone.conv1.weight, trained)


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ('missing', r'lacks 1 of the 7 weights of Body, such as norm1\.running_var'),
        ('shape', r'does not fit Body: size mismatch for conv1\.weight: .*5, 5'),
        ('prefix', r'lacks 6 of the 7 weights of Body, such as'),
    ],
)
def test_exception_they_do_not_fit(make_runner, tmp_path, change, reason):
    prefix = 'backbone.features.' if change == 'prefix' else 'backbone.'
    init = write(tmp_path / 'in.pth', prefix=prefix, change=change)
    if change != 'shape':  # MMEngine alone passes over them
        runner = make_runner(model=Initialised(init))
        runner.train()
        assert runner.epoch == 2
    runner = make_runner(StrictPretrainedHook(), model=Initialised(init))
    with pytest.raises(ValueError, match=reason):
        runner.train()


def test_exception_no_file(make_runner, tmp_path):
    init = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'in.pth')}
    hook = HOOKS.build({'type': 'mmdefect.StrictPretrainedHook'})
    runner = make_runner(hook, model=Initialised(init))
    with pytest.raises(FileNotFoundError, match=r'in\.pth: .* init_cfg=None'):
        runner.train()


def test_feature_position_embedding_of_another_image_size(tmp_path):
    """mmpretrain's ViT resizes it while loading: that fits."""
    arch = {'embed_dims': 8, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 8}
    cfg = {'type': 'mmpretrain.VisionTransformer', 'arch': arch, 'patch_size': 8}
    source = MODELS.build({**cfg, 'img_size': 32})
    torch.save(source.state_dict(), tmp_path / 'in.pth')
    target = MODELS.build({**cfg, 'img_size': 48})
    load_strictly(target, {'checkpoint': str(tmp_path / 'in.pth')})
    assert target.pos_embed.shape == (1, 37, 8)
    assert torch.equal(target.ln1.weight, source.ln1.weight)


def test_feature_finds_every_module_that_names_a_file():
    file = {'type': 'Pretrained', 'checkpoint': 'x.pth'}
    inner = Body([{'type': 'Kaiming', 'layer': 'Conv2d'}, file])
    outer = nn.Sequential(Body(), inner, Body(file), nn.Linear(2, 2))
    assert list(pretrained_modules(outer)) == [(inner, file), (outer[2], file)]


class TestPairing:
    """Weights beside the images that a model's preprocessor makes."""

    def run(self, make_runner, init, *, preprocessor, style=None):
        model = Initialised(init)
        model.data_preprocessor = preprocessor
        if style:
            model.backbone.style = style
        runner = guarded(make_runner(model=model))
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.call_hook('before_run')

    def written(self, path, **meta):
        init = write(path)
        checkpoint = torch.load(path, weights_only=True)
        torch.save({**checkpoint, 'meta': meta}, path)
        return init

    def test_exception_channels(self, make_runner, tmp_path):
        init = self.written(tmp_path / 'in.pth', normalisation=IMAGENET._asdict())
        made = ClsDataPreprocessor(mean=IMAGENET.mean, std=IMAGENET.std, to_rgb=False)
        said = (
            r'in\.pth has weights for RGB images of mean \(123\.7, 116\.3, 103\.5\) '
            r'and deviation \(58\.4, 57\.12, 57\.38\), and data_preprocessor makes '
            r'BGR images .*: set mean=\[123\.675, 116\.28, 103\.53\], .*=True there, or'
        )
        with pytest.raises(ValueError, match=said) as caught:
            self.run(make_runner, init, preprocessor=made)
        assert '\n' not in str(caught.value)

    def test_exception_style(self, make_runner, tmp_path):
        meta = {'normalisation': IMAGENET._asdict(), 'style': 'caffe'}
        init = self.written(tmp_path / 'in.pth', **meta)
        made = ClsDataPreprocessor(mean=IMAGENET.mean, std=IMAGENET.std, to_rgb=True)
        with pytest.raises(ValueError, match=r"set the backbone's style='caffe'"):
            self.run(make_runner, init, preprocessor=made, style='pytorch')
        self.run(make_runner, init, preprocessor=made, style='caffe')

    def test_exception_torchvision_in_bgr(self, make_runner):
        init = {'type': 'Pretrained', 'checkpoint': 'torchvision://resnet50'}
        made = ClsDataPreprocessor(mean=CAFFE.mean, std=CAFFE.std)
        with pytest.raises(
            ValueError, match='torchvision://resnet50 has weights for R'
        ):
            self.run(make_runner, init, preprocessor=made)

    def test_feature_files_of_before(self, make_runner, tmp_path, capsys):
        """They say nothing; that is said once."""
        init = self.written(tmp_path / 'in.pth')
        made = ClsDataPreprocessor(mean=CAFFE.mean, std=CAFFE.std)
        self.run(make_runner, init, preprocessor=made)
        said = capsys.readouterr().out
        assert said.count('does not say how its images were normalised') == 1

    def test_feature_the_strict_hook_does_it_too(self, make_runner, tmp_path):
        init = self.written(tmp_path / 'in.pth', normalisation=CAFFE._asdict())
        model = Initialised(init)
        model.data_preprocessor = ClsDataPreprocessor(
            mean=IMAGENET.mean, std=IMAGENET.std, to_rgb=True
        )
        runner = guarded(make_runner(StrictPretrainedHook(), model=model))
        assert sum(isinstance(hook, PairingHook) for hook in runner.hooks) == 1
        with pytest.raises(ValueError, match='has weights for BGR images'):
            runner.train()
