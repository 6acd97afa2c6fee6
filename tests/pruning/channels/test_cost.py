"""Parameters, multiply-adds and milliseconds: by hand, with a clock of our own."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from torch import nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.models.classification.pruned import PrunedBackbone
from mmdefect.pruning.channels.cost import (
    KINDS,
    count_macs,
    measure_cost,
    parameter_count,
    plan_cost,
)
from mmdefect.pruning.channels.groups import trace_groups
from mmdefect.pruning.channels.plan import ChannelPlan, LayerCut
from mmdefect.pruning.channels.rebuild import rebuild
from mmdefect.pruning.sweep.keep import KeepPolicy, plan_of_budget
from tests.helpers.networks import VGG16

SIZE = (5, 6)


class Toy(nn.Module):
    """Two convolutions, a norm between them, and a linear layer."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.b = nn.Conv2d(width, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, images):
        maps = self.b(F.relu(self.norm(self.a(images))))
        return self.fc(maps.mean(dim=(2, 3)))


def toy_macs(width: int) -> int:
    return 30 * 9 * (3 * width + width * 4) + 4 * 2


def toy_parameters(width: int) -> int:
    return 27 * width + width + 2 * width + 36 * width + 4 + 8 + 2


def toy_plan(width: int) -> ChannelPlan:
    out = {'out': tuple(range(width)), 'out_of': 8}
    into = {'into': tuple(range(width)), 'into_of': 8}
    layers = {'a': LayerCut(**out), 'norm': LayerCut(**out), 'b': LayerCut(**into)}
    return ChannelPlan(layers=layers)


class Watched(nn.Module):
    """Notes of every forward pass in what state it ran; copies share the list."""

    seen: list[tuple] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.frozen = nn.Dropout().eval()

    def forward(self, images):
        modes = [module.training for module in self.modules()]
        state = (torch.get_num_threads(), torch.is_grad_enabled(), any(modes))
        type(self).seen.append(state)
        return self.frozen(self.conv(images))


@pytest.fixture
def watched():
    Watched.seen = []
    return Watched()


class Clock:
    """Forward passes take as many seconds as it is told, one after the other."""

    def __init__(self, seconds) -> None:
        self.seconds = list(seconds)
        self.now = 0.0
        self.calls = 0

    def __call__(self) -> float:
        self.calls += 1
        if self.calls % 2 == 0:
            self.now += self.seconds[self.calls // 2 - 1]
        return self.now


def test_smoke() -> None:
    cost = measure_cost(Toy(), SIZE, runs=4)
    assert (cost.parameters, cost.macs) == (toy_parameters(8), toy_macs(8))
    assert 0 < cost.latency_ms_p50 <= cost.latency_ms_p95
    assert (cost.runs, cost.compiled) == (4, False)
    assert cost.threads == torch.get_num_threads()


def test_feature_macs_by_hand() -> None:
    images = torch.randn(1, 4, 5, 6)
    cases = [
        (nn.Conv2d(4, 6, 3, padding=1), 30 * 9 * 4 * 6),
        (nn.Conv2d(4, 6, 3, padding=1, bias=False), 30 * 9 * 4 * 6),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), 30 * 9 * 4),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), 3 * 3 * 9 * 4 * 6),
        (nn.Linear(6, 7), 4 * 5 * 6 * 7),
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)), 0),
    ]
    assert [count_macs(model, images) for model, _ in cases] == [n for _, n in cases]

    # Nothing is overlooked because it is no module.
    class Functional(nn.Module):
        def forward(self, images):
            maps = F.conv2d(images, torch.ones(4, 3, 1, 1, device=images.device))
            rows = maps.flatten(2)  # (1, 4, 30)
            return F.scaled_dot_product_attention(rows, rows, rows)

    expected = 30 * 3 * 4 + 2 * (4 * 4 * 30)
    assert count_macs(Functional(), torch.randn(1, 3, *SIZE)) == expected
    # Those of mmengine, which counts norms as well, so without any.
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU()
    )
    info = get_model_complexity_info(model, (3, 32, 40), show_table=False)
    assert count_macs(model, torch.randn(1, 3, 32, 40)) == info['flops']
    assert parameter_count(model) == info['params']


def test_feature_vgg16() -> None:
    """15.35 G multiply-adds at 224 px; on the meta device nothing is computed."""
    with torch.device('meta'):
        layers = []
        for index, (into, out) in enumerate(pairwise([3, *VGG16])):
            if index in (2, 4, 7, 10):
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.Conv2d(into, out, 3, padding=1))
        model = nn.Sequential(*layers)
        images = torch.empty(1, 3, 224, 224)
    assert count_macs(model, images) == 15_346_630_656
    assert parameter_count(model) == 14_714_688
    layer = nn.Linear(3, 3)  # shared
    assert parameter_count(nn.Sequential(layer, layer)) == 12


def test_feature_percentiles(watched) -> None:
    """Two passes to warm up are not timed; of 1 to 5 s the 95th percentile is 4.8 s."""
    clock = Clock([100, 100, 3, 1, 5, 2, 4])
    cost = measure_cost(watched, 4, runs=5, warmup=2, clock=clock)
    assert cost.latency_ms_p50 == pytest.approx(3000)
    assert cost.latency_ms_p95 == pytest.approx(4800)
    # One more has been counted.
    assert len(Watched.seen) == 1 + 2 + 5


def test_feature_threads_modes_and_gradients(watched) -> None:
    """They come back, also after a failure."""
    before = torch.get_num_threads()
    watched.train()
    watched.frozen.eval()
    cost = measure_cost(watched, 4, runs=2, warmup=0, threads=before + 1)
    assert cost.threads == before + 1
    assert set(Watched.seen) == {(before + 1, False, False)}
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()
    assert [module.training for module in watched.modules()] == [True, True, False]
    model = nn.Sequential(nn.Conv2d(5, 2, 1))  # of 5 channels
    with pytest.raises(RuntimeError, match='channels'):
        measure_cost(model, 4, runs=2, threads=before + 1)
    assert model.training
    assert torch.get_num_threads() == before


def test_feature_norms_and_random_numbers_are_left_alone() -> None:
    model = Toy()
    before = torch.get_rng_state()
    measure_cost(model, SIZE, runs=2)
    assert torch.equal(model.norm.running_mean, torch.zeros(8))
    assert model.norm.num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), before)
    cost = measure_cost(nn.MaxPool2d(2), 4, runs=2)  # without parameters
    assert (cost.parameters, cost.macs) == (0, 0)


def test_feature_pruned_backbone_keeps_its_mode() -> None:
    """Its inner backbone is no child of it, and has a mode as well."""
    model = PrunedBackbone(backbone=Toy(), plan=toy_plan(3)).train()
    cost = measure_cost(model, SIZE, runs=2)
    assert (cost.parameters, cost.macs) == (toy_parameters(3), toy_macs(3))
    assert model.training
    assert model._inner[0].training


def test_feature_compiled(watched, monkeypatch) -> None:
    """What the compiler gives is run once, and then timed; the real one is slow."""
    calls = []

    def compiling(model, **settings):
        calls.append(settings)
        return lambda images: calls.append(model(images))

    monkeypatch.setattr(torch, 'compile', compiling)
    cost = measure_cost(watched, 4, runs=3, warmup=0, compiled=True)
    assert cost.compiled
    assert cost.macs == 4 * 4 * 3 * 2
    assert calls[0] == {'dynamic': False}
    assert len(calls) == 1 + 1 + 3


@pytest.mark.parametrize('width', [1, 8])
def test_feature_plan_cost(width) -> None:
    model, example = Toy(), torch.randn(1, 3, *SIZE)
    plan = toy_plan(width)
    smaller = rebuild(model, plan)
    found = {kind: plan_cost(model, example, kind)(plan) for kind in KINDS}
    assert found['parameters'] == parameter_count(smaller) == toy_parameters(width)
    assert found['macs'] == count_macs(smaller, example) == toy_macs(width)
    assert found['latency_ms'] > 0
    # The network itself stays whole, with its weights where they were.
    assert model.a.weight.shape[0] == 8
    assert model.a.weight.device.type == 'cpu'
    assert model.training


def test_feature_plan_cost_leaves_images_and_threads(watched) -> None:
    """The latency is timed on the cut copy, without gradients, in evaluation mode."""
    watched.train()
    cost = plan_cost(watched, torch.randn(1, 3, 4, 4), 'latency_ms', runs=7)
    assert Watched.seen == []
    assert cost(ChannelPlan(layers={})) > 0
    assert len(Watched.seen) == 7 + 2
    assert set(Watched.seen) == {(torch.get_num_threads(), False, False)}
    # Plans of the same widths are measured once.
    Watched.seen.clear()
    cost = plan_cost(watched, torch.randn(1, 3, 4, 4), 'latency_ms', runs=3)
    plans = [
        ChannelPlan(layers={'conv': LayerCut(out=kept, out_of=2)})
        for kept in ((0,), (1,), 1, (0, 1))
    ]
    found = [cost(plan) for plan in plans]
    assert found[0] == found[1] == found[2] != found[3]
    assert len(Watched.seen) == 2 * (3 + 2)


def test_feature_networks_that_need_numbers() -> None:
    """`.item()` cannot be had of the meta device: counted all the same."""

    class Asking(Toy):
        def forward(self, images):
            return super().forward(images / max(images.abs().max().item(), 1))

    cost = plan_cost(Asking(), torch.randn(1, 3, *SIZE), 'macs')
    assert cost(toy_plan(2)) == toy_macs(2)


@pytest.mark.parametrize('kind', ['parameters', 'macs'])
@pytest.mark.parametrize('policy', ['uniform', 'global'])
def test_feature_budget(kind, policy) -> None:
    """The largest network within: one more channel would be too many."""
    model, example = Toy().eval(), torch.randn(1, 3, *SIZE)
    groups = trace_groups(model, example, layers=['a'])
    scores = [{'a': torch.tensor([1.0, 8, 2, 7, 3, 6, 4, 5])}]
    size = {'parameters': toy_parameters, 'macs': toy_macs}[kind]
    plan = plan_of_budget(
        groups,
        scores,
        KeepPolicy(type=policy),
        plan_cost(model, example, kind),
        size(5) + 1,
    )
    assert plan.layers['a'].out == (1, 3, 5, 6, 7)
    assert plan.widths() == {'a': 5, 'norm': 5}


def test_exception_runs_and_size() -> None:
    for wrong in ({'runs': 1}, {'warmup': -1}, {'threads': 0}):
        ((name, value),) = wrong.items()
        with pytest.raises(ValueError, match=f'{name}={value}: expected at least'):
            measure_cost(Toy(), SIZE, **wrong)
    for size in (0, (0, 5), (5, -1)):
        with pytest.raises(ValueError, match='expected a height and a width of 1 or'):
            measure_cost(Toy(), size)


def test_exception_plan_cost() -> None:
    with pytest.raises(ValueError, match='runs=1: expected at least 2'):
        plan_cost(Toy(), torch.randn(1, 3, *SIZE), 'latency_ms', runs=1)
    with pytest.raises(ValueError, match="kind='flops': expected one of parameters"):
        plan_cost(Toy(), torch.randn(1, 3, *SIZE), 'flops')
    for shape in ((2, 3, *SIZE), (3, *SIZE)):
        with pytest.raises(ValueError, match='expected one image'):
            plan_cost(Toy(), torch.randn(shape))


def test_exception_compiler(monkeypatch) -> None:
    def failing(model, **settings):
        def run(images):
            raise OSError('no compiler\nof any kind')

        return run

    monkeypatch.setattr(torch, 'compile', failing)
    said = r'torch.compile failed with Toy \(OSError: no compiler\); measure with'
    with pytest.raises(RuntimeError, match=said):
        measure_cost(Toy(), SIZE, compiled=True)
