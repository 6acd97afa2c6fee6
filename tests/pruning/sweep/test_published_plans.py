"""The two plans that are shipped build the networks that FTL's authors released."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
import torch
from mmpretrain.models import build_backbone

from mmdefect.functional.keep_counts import legacy_fractions, legacy_keep_count
from mmdefect.models.classification.ftl_alexnet import FTLAlexNet
from mmdefect.models.classification.pruned import PrunedBackbone
from mmdefect.pruning.channels.plan import plan_from_dict, read_plan
from mmdefect.pruning.channels.rebuild import channels_of, cut_in_place, rebuild
from tests.conftest import REPO
from tests.helpers.configs import scope
from tests.helpers.networks import VGG16

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
ALEXNET = (96, 256, 384, 384, 256)
# Sides of the kernels of each network's convolutions.
KERNELS = {'vgg16_ftl-0.20-union': (3,) * 13, 'ftl-alexnet_ftl-0.15': (11, 5, 3, 3, 3)}
# Recorded by the authors: i -> parameters of the AlexNet at the share i / 100.
RECORDED = {
    1: 817,
    2: 2_308,
    3: 4_415,
    15: 86_871,
    28: 298_004,
    30: 345_296,
    31: 365_010,
    50: 946_048,
    98: 3_569_849,
}
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


def closed_form(name: str, widths) -> int:
    """``sum(k^2 c_in c_out + c_out)``, and four values a channel of the norm."""
    chain = zip(KERNELS[name], pairwise((3, *widths)), strict=True)
    norm = 4 * widths[0] if NORM_CHANNELS[name] else 0
    return norm + sum(k**2 * into * out + out for k, (into, out) in chain)


def shrunk(widths, share: float) -> tuple[int, ...]:
    return tuple(legacy_keep_count(width, share) for width in widths)


def test_feature_recorded_counts() -> None:
    """FTL's shares are sums of 0.01: its record of 0.30 tells them from 30 / 100."""
    alexnet, vgg = 'ftl-alexnet_ftl-0.15', 'vgg16_ftl-0.20-union'
    shares = legacy_fractions()[:98]
    found = [closed_form(alexnet, shrunk(ALEXNET, share)) for share in shares]
    assert {i: found[i - 1] for i in RECORDED} == RECORDED
    assert shrunk(ALEXNET, shares[0]) == (1, 3, 4, 4, 3)
    assert shrunk(ALEXNET, shares[14]) == PUBLISHED[alexnet][1]
    # The others are ours, and not recorded.
    assert sum(found) == 119_129_911
    exact = [closed_form(alexnet, shrunk(ALEXNET, i / 100)) for i in range(1, 99)]
    different = {i: n for i, n in enumerate(exact, start=1) if n != found[i - 1]}
    assert different == {10: 41_088, 30: 340_231, 70: 1_823_968}
    assert closed_form(alexnet, ALEXNET) == 3_747_584
    assert closed_form(vgg, VGG16) == 14_714_688
    # Crack and background filters are united: between K and 2 K of each layer.
    kept = shrunk(VGG16, shares[19])
    assert kept[:8] == (13, 13, 25, 25, 51, 51, 51, 102)
    union = zip(kept, PUBLISHED[vgg][1], strict=True)
    assert all(low <= width <= 2 * low for low, width in union)
    # Without union, another implementation's pruned network has as many.
    assert closed_form(vgg, shrunk(VGG16, 0.21)) == 645_293


@each_plan
def test_feature_origin(name) -> None:
    assert {path.stem for path in PLANS.iterdir()} == set(PUBLISHED)
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
    smaller = rebuild(whole, plan)
    count, widths = PUBLISHED[name]
    assert tuple(conv.out_channels for conv in convolutions(smaller)) == widths
    assert parameters(smaller) + 2 * NORM_CHANNELS[name] == count
    norms = [m for m in smaller.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [channels_of(norm, 'out') for norm in norms] == (
        [NORM_CHANNELS[name]] if NORM_CHANNELS[name] else []
    )
    # And by the closed formula.
    assert closed_form(name, widths) == count
    assert parameters(whole) > 14 * count

    for size in (64, 97):
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            (found,) = smaller(torch.randn(1, 3, size, size, generator=generator))
        # VGG halves five times; the AlexNet: stride 4 "same", and three poolings.
        first = math.ceil(size / 4)
        side = size // 32
        if NORM_CHANNELS[name]:
            side = ((((first - 3) // 2 + 1) - 3) // 2 + 1) // 2
        assert found.shape == (1, PUBLISHED[name][1][-1], side, side)
        assert bool(found.isfinite().all())


@each_plan
def test_feature_as_a_backbone(name) -> None:
    """What a config gives: the file's name and the whole backbone's config."""
    vgg = name.startswith('vgg16')
    inner = {'type': 'mmpretrain.VGG', 'depth': 16} if vgg else {'type': 'FTLAlexNet'}
    model = PrunedBackbone(backbone=inner, plan=PLANS / f'{name}.json').eval()
    assert parameters(model) + 2 * NORM_CHANNELS[name] == PUBLISHED[name][0]
    assert model.widths(64) == [PUBLISHED[name][1][-1]]
    # A file with one wrong number would not build; here it is said which.
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
        ValueError, match=r'features\.4: expected 256 channels .* with 257'
    ):
        cut_in_place(FTLAlexNet(), plan_from_dict(content))
