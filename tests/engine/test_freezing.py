"""What is frozen, in which order, and that it stays as it is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mmdefect.engine.freezing import (
    count_trainable,
    freeze_parameters,
    hold_still,
    number_frozen,
    plan_freezing,
    record_calls,
    trainable_fraction,
)
from tests.models.classification.conftest import PARAMETERS, build


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # Runs last and is registered first.
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm2d(width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.conv(x)))


class Backbone(nn.Module):
    """Units run in the order stem, one.conv, one.norm, two.conv, two.norm, last."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1))
        self.last = nn.Conv2d(4, 4, 1)
        self.two = Block(4)
        self.one = Block(4)
        self.stem = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self.relu(self.stem(x) + self.token)
        return (self.last(self.relu(self.two(self.one(x)))).mean((2, 3)),)


class Classifier(nn.Module):
    def __init__(
        self, backbone: nn.Module | None = None, neck: nn.Module | None = None
    ):
        super().__init__()
        self.backbone = backbone or Backbone()
        self.neck = neck
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x)
        return self.head((self.neck(features) if self.neck else features)[-1])


class Scale(nn.Module):
    """A neck that is a unit itself."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(4))

    def forward(self, features: tuple[Tensor]) -> tuple[Tensor]:
        return (features[-1] * self.factor,)


ORDER = ['stem', 'one.conv', 'one.norm', 'two.conv', 'two.norm', 'last']
SMALL = (3, 8, 8)


def frozen_names(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize(
    ('given', 'share'),
    [
        ({'mode': 'none'}, 1.0),
        ({'mode': 'head'}, 0.0),
        *(({'mode': 'fraction', 'fraction': f}, f) for f in (0.25, 0, 1)),
        *(
            ({'mode': 'quadrant', 'quadrant': name}, share)
            for name, share in (('Q1', 1.0), ('Q2', 0.33), ('Q3', 0.67), ('Q4', 0.0))
        ),
    ],
)
def test_feature_share(given, share):
    assert trainable_fraction(**given) == share


@pytest.mark.parametrize(
    ('units', 'fraction', 'number'),
    # (1 - 0.7) * 10 is 3.0000000000000004
    [(6, 1.0, 0), (6, 0.0, 6), (7, 0.5, 4), (3, 0.33, 3), (10, 0.7, 3), (0, 0.5, 0)],
)
def test_feature_number(units, fraction, number):
    assert number_frozen(units, fraction) == number


OF_ANOTHER = r"^{}=.* with mode='{}': expected {} with mode"


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        *(
            ({'mode': 'fraction', 'fraction': f}, rf'^fraction={f}: .* 0 and at most 1')
            for f in (-0.01, 1.01, math.nan, math.inf)
        ),
        ({'mode': 'all'}, r"^mode='all': expected one of none, "),
        ({'mode': 'quadrant', 'quadrant': 'Q5'}, r"^quadrant='Q5': expected one of Q1"),
        *(
            ({'mode': mode, name: value}, OF_ANOTHER.format(name, mode, name))
            for name, value in (('fraction', 0.5), ('quadrant', 'Q1'))
            for mode in ('none', 'head')
        ),
        (
            {'mode': 'quadrant', 'quadrant': 'Q1', 'fraction': 0.5},
            OF_ANOTHER.format('fraction', 'quadrant', 'fraction'),
        ),
        (
            {'mode': 'fraction', 'quadrant': 'Q1', 'fraction': 0.5},
            OF_ANOTHER.format('quadrant', 'fraction', 'quadrant'),
        ),
        ({'mode': 'fraction'}, r'^fraction=None with mode='),
        ({'mode': 'quadrant'}, r'^quadrant=None with mode='),
    ],
)
def test_exception_share(given, message):
    with pytest.raises(ValueError, match=message):
        trainable_fraction(**given)


class TestOrder:
    def test_feature_execution_not_registration(self):
        plan = plan_freezing(Classifier(), 0.5, SMALL)
        names = [f'backbone.{name}' for name in ORDER]
        assert [u.name for u in plan.units] == names
        assert [u.name for u in plan.frozen] == names[:3]
        # What the backbone owns is of the first unit.
        assert plan.units[0].parameters == (
            'backbone.token',
            'backbone.stem.weight',
            'backbone.stem.bias',
        )

    def test_feature_the_neck_comes_last(self):
        plan = plan_freezing(Classifier(neck=Scale()), 0.1, SMALL)
        assert len(plan.units) == 7
        assert plan.units[-1].name == 'neck'
        assert plan.units[-1].parameters == ('neck.factor',)
        assert plan.number == 7  # ceil(6.3)

    def test_feature_a_backbone_that_is_one_layer(self):
        class One(Scale):
            def forward(self, x: Tensor) -> tuple[Tensor]:
                return super().forward((x.mean((2, 3)),))

        model = Classifier(backbone=One())
        plan = plan_freezing(model, 0.0, SMALL)
        freeze_parameters(model, plan)
        assert [unit.name for unit in plan.units] == ['backbone']
        assert frozen_names(model) == {'backbone.factor'}

    def test_feature_a_module_that_never_runs_follows_its_parent(self):
        """PyTorch's attention uses the weights of ``out_proj`` without calling it."""

        class Attention(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.second = nn.Linear(4, 4)
                self.attention = nn.MultiheadAttention(4, 1)
                self.first = nn.Linear(4, 4)

            def forward(self, x: Tensor) -> tuple[Tensor]:
                x = self.first(x)
                return (self.second(self.attention(x, x, x)[0]),)

        plan = plan_freezing(Classifier(backbone=Attention()), 0.5, (4,))
        assert [unit.name for unit in plan.units] == [
            'backbone.first',
            'backbone.attention',
            'backbone.attention.out_proj',
            'backbone.second',
        ]

    def test_feature_model_is_as_before(self):
        """No statistic, no mode, no random number, no hook is left behind."""
        torch.manual_seed(0)
        model = Classifier().train()
        model.backbone.one.eval()
        before = {name: v.clone() for name, v in model.state_dict().items()}
        modes = [module.training for module in model.modules()]
        random = torch.get_rng_state()
        plan_freezing(model, 0.5, SMALL)
        assert torch.equal(torch.get_rng_state(), random)
        assert [module.training for module in model.modules()] == modes
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name
        assert not any(module._forward_pre_hooks for module in model.modules())
        # After an error, neither.
        with pytest.raises(RuntimeError):
            record_calls(model, (5, 8, 8))
        assert not any(module._forward_pre_hooks for module in model.modules())
        assert [module.training for module in model.modules()] == modes

    def test_feature_order_is_not_asked_for_where_it_does_not_matter(self):
        """So a backbone that cannot take an image of zeros can be frozen as a whole."""

        class Fussy(Backbone):
            def forward(self, x: Tensor) -> tuple[Tensor]:
                raise NotImplementedError

        model = Classifier(backbone=Fussy())
        assert plan_freezing(model, 1.0).number == 0
        assert plan_freezing(model, 0.0).number == 6
        with pytest.raises(NotImplementedError):
            plan_freezing(model, 0.5)

    def test_exception_no_backbone(self):
        with pytest.raises(ValueError, match=r'^Linear has no backbone to freeze:'):
            plan_freezing(nn.Linear(2, 2), 0.5)


class TestStill:
    def test_feature_what_ran_before_the_first_that_learns(self):
        """Dropout has no parameters and belongs to the part in which it runs.

        The one ReLU (it could be a dropout) is used again in the learning part.
        """
        model = Classifier()
        plan = plan_freezing(model, 0.5, SMALL)
        parts = ('stem', 'one', 'one.conv', 'one.norm', 'one.drop')
        assert set(plan.still) == {f'backbone.{part}' for part in parts}
        model.train()
        hold_still(model, plan)
        off = {name for name, m in model.named_modules() if not m.training}
        assert off == set(plan.still)

    def test_feature_the_middle_of_a_block(self):
        """Its convolution is frozen, its norm learns: the dropout after it is on."""
        plan = plan_freezing(Classifier(), 0.7, SMALL)
        assert plan.frozen[-1].name == 'backbone.one.conv'
        assert set(plan.still) == {'backbone.stem', 'backbone.one.conv'}

    def test_feature_all_and_nothing(self):
        model = Classifier(neck=Scale())
        assert plan_freezing(model, 1.0, SMALL).still == ()
        names = {n for n, _ in model.named_modules() if n.startswith(('back', 'neck'))}
        assert 'backbone.relu' in names
        assert set(plan_freezing(model, 0.0, SMALL).still) == names


# Trainable parameters at a third and at two thirds of the units:
# >>> for name in PARAMETERS:
# ...     for fraction in (0.33, 0.67):
# ...         model = build(name, 'meta')
# ...         plan = plan_freezing(model, fraction)
# ...         freeze_parameters(model, plan)
# ...         print(name, len(plan.units), plan.number, count_trainable(model)[0])
PARTLY = {
    'luna': (9, (7, 96_898), (3, 114_274)),
    'alexnet': (7, (5, 54_542_338), (3, 56_017_410)),
    'resnet18': (40, (27, 8_985_602), (14, 10_798_338)),
    'efficientnetv2_s': (280, (188, 11_782_850), (93, 18_077_354)),
    'convnext_tiny': (99, (67, 19_079_042), (33, 26_734_274)),
    'vit_b16': (74, (50, 28_353_026), (25, 56_706_050)),
    'swin_tiny': (93, (63, 18_921_866), (31, 26_472_698)),
    'dino_vits8': (74, (50, 7_098_626), (25, 14_197_250)),
}


ENDS = {
    'resnet18': ('conv1', 'layer4.1.bn2'),
    'convnext_tiny': ('downsample_layers.0.0', 'norm3'),
    'vit_b16': ('patch_embed.projection', 'ln1'),
    'swin_tiny': ('patch_embed.projection', 'norm3'),
}


@pytest.mark.parametrize('name', PARAMETERS)
def test_feature_classifiers(name):
    """The eight of the study on the meta device: all, the head, two shares between."""
    model = build(name, 'meta')
    units, *partly = PARTLY[name]
    total, head = PARAMETERS[name]
    expected = {1.0: (0, total), 0.0: (units, head)}
    expected |= dict(zip((0.33, 0.67), partly, strict=True))
    for fraction, (number, trainable) in expected.items():
        model.requires_grad_(True)
        plan = plan_freezing(model, fraction)
        freeze_parameters(model, plan)
        assert (len(plan.units), plan.number) == (units, number)
        assert count_trainable(model) == (trainable, total)
        assert all(p.requires_grad for p in model.head.parameters())
    # The last plan has the order in which they run.
    names = [unit.name.removeprefix('backbone.') for unit in plan.units]
    assert (names[0], names[-1]) == ENDS.get(name, (names[0], names[-1]))
    if name == 'vit_b16':
        owned = {'backbone.cls_token', 'backbone.pos_embed'}
        assert owned <= {*plan.units[0].parameters}
    elif name == 'convnext_tiny':
        # All four downsampling layers are registered before the first stage.
        stages = [n.split('.')[1] for n in names if n.split('.')[0] == 'stages']
        assert stages == sorted(stages)
        assert names.index('downsample_layers.3.0') > names.index('stages.2.8')
        assert names.index('downsample_layers.3.0') < names.index('stages.3.0')
