"""The two plans that are shipped build the networks that FTL's authors released."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
import torch
from mmpretrain.models import build_backbone

from lab.pruned_size import FTL_ALEXNET, VGG16
from mmdefect.models.classification.ftl_alexnet import FTLAlexNet
from mmdefect.models.classification.pruned import PrunedBackbone
from mmdefect.pruning.channels.plan import plan_from_dict, read_plan
from mmdefect.pruning.channels.rebuild import channels_of, cut_in_place, rebuild
from tests.conftest import REPO
from tests.helpers.configs import scope

PLANS = REPO / 'configs/ftl/plans'
# Recorded: parameters, and widths of the convolutions.
PUBLISHED = {
    'vgg16_ftl-0.20-union': (
        992_359,
        (26, 24, 48, 50, 97, 98, 78, 148, 114, 120, 122, 116, 112),
    ),
    'ftl-alexnet_ftl-0.15': (86_871, (14, 38, 57, 57, 38)),
}
# Keras counts four values a channel of a batch norm, PyTorch two parameters.
NORM_CHANNELS = {'vgg16_ftl-0.20-union': 0, 'ftl-alexnet_ftl-0.15': 14}
WHOLE = {'vgg16_ftl-0.20-union': VGG16, 'ftl-alexnet_ftl-0.15': FTL_ALEXNET}
each_plan = pytest.mark.parametrize('name', PUBLISHED)


def read(name):
    return read_plan(PLANS / f'{name}.json')


@pytest.fixture(scope='module', params=PUBLISHED)
def published(request):
    """Name, plan, and the whole network with random weights."""
    vgg = request.param.startswith('vgg16')
    # Whatever scope an earlier test has left behind.
    with scope('mmpretrain'):
        whole = build_backbone({'type': 'VGG', 'depth': 16}) if vgg else FTLAlexNet()
    whole.eval()  # VGG's gives nothing back
    return request.param, read(request.param), whole


def convolutions(model):
    return [m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]


def parameters(model) -> int:
    return sum(value.numel() for value in model.parameters())


def test_smoke() -> None:
    assert {path.stem for path in PLANS.iterdir()} == set(PUBLISHED)


@each_plan
def test_feature_origin(name) -> None:
    origin = read(name).origin
    assert origin['doi'] == '10.1111/mice.12755'
    assert origin['source'] == 'from the layer widths of the released file'
    assert f'{origin["fraction"]:.2f}' in name
    assert origin['parameters'] == PUBLISHED[name][0]


def test_feature_every_layer_is_cut(published) -> None:
    name, plan, whole = published
    assert plan.widths_only
    convs = {n for n, m in whole.named_modules() if isinstance(m, torch.nn.Conv2d)}
    norms = {n for n, m in whole.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert set(plan.layers) == convs | norms
    assert bool(norms) == bool(NORM_CHANNELS[name])
    assert (
        tuple(plan.widths()[n] for n in plan.layers if n in convs)
        == (PUBLISHED[name][1])
    )


def test_feature_parameters(published) -> None:
    name, plan, whole = published
    smaller = rebuild(whole, plan)
    count, widths = PUBLISHED[name]
    assert tuple(conv.out_channels for conv in convolutions(smaller)) == widths
    assert parameters(smaller) + 2 * NORM_CHANNELS[name] == count
    norms = [m for m in smaller.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [channels_of(norm, 'out') for norm in norms] == (
        [NORM_CHANNELS[name]] if NORM_CHANNELS[name] else []
    )
    # And by the closed formula.
    assert WHOLE[name].parameters(widths) == count
    assert parameters(whole) > 14 * count


@pytest.mark.parametrize('size', [64, 97, 224])
def test_shape_of_the_last_map(published, size) -> None:
    name, plan, whole = published
    smaller = rebuild(whole, plan)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (found,) = smaller(images)
    # VGG halves five times; the AlexNet: stride 4 "same", and three poolings.
    first = math.ceil(size / 4)
    side = {
        'vgg16_ftl-0.20-union': size // 32,
        'ftl-alexnet_ftl-0.15': ((((first - 3) // 2 + 1) - 3) // 2 + 1) // 2,
    }[name]
    assert found.shape == (1, PUBLISHED[name][1][-1], side, side)
    assert bool(found.isfinite().all())


def test_feature_as_a_backbone(published) -> None:
    """What a config gives: the file's name and the whole backbone's config."""
    name, _, _ = published
    vgg = name.startswith('vgg16')
    inner = {'type': 'mmpretrain.VGG', 'depth': 16} if vgg else {'type': 'FTLAlexNet'}
    model = PrunedBackbone(backbone=inner, plan=PLANS / f'{name}.json').eval()
    assert parameters(model) + 2 * NORM_CHANNELS[name] == PUBLISHED[name][0]
    assert model.widths(64) == [PUBLISHED[name][1][-1]]


@each_plan
def test_feature_inputs_are_the_outputs_before(name) -> None:
    """A file with one wrong number would not build; here it is said which."""
    entries = json.loads((PLANS / f'{name}.json').read_text(encoding='utf-8'))['layers']
    convs = list(entries.values())
    if NORM_CHANNELS[name]:
        norm = entries['features.2']
        assert norm == entries['features.0']
        convs.remove(norm)
    assert 'in' not in convs[0]
    for before, after in pairwise(convs):
        assert (after['in'], after['in_of']) == (before['out'], before['out_of'])


def test_exception_wrong_network() -> None:
    plan = read('vgg16_ftl-0.20-union')
    with pytest.raises(
        ValueError, match=r'features\.0\.conv.*FTLAlexNet does not have'
    ):
        cut_in_place(FTLAlexNet(), plan)
    content = json.loads(
        (PLANS / 'ftl-alexnet_ftl-0.15.json').read_text(encoding='utf-8')
    )
    content['layers']['features.4']['out_of'] = 257
    with pytest.raises(
        ValueError, match=r'features\.4 has 257 channels .* here it has 256'
    ):
        cut_in_place(FTLAlexNet(), plan_from_dict(content))
