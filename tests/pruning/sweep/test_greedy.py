"""Layer by layer, each scored behind what is left of those before it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.functional.keep_counts import top_channels
from mmdefect.pruning.channels.groups import make_plan
from mmdefect.pruning.channels.rebuild import rebuild
from mmdefect.pruning.sweep.greedy import GreedyPlanner
from mmdefect.pruning.sweep.keep import KeepPolicy, plan_of_fraction
from tests.helpers.networks import (
    build_classifier,
    call,
    groups_of,
    images,
    random_scores,
)

NAMES = [f'backbone.blocks.{block}.conv{conv}' for block in range(4) for conv in (1, 2)]


@pytest.fixture(scope='module')
def luna():
    model = build_classifier('LunaNet')
    return model, groups_of(model)


def planner(luna, score, kind='uniform', **settings):
    model, groups = luna
    return GreedyPlanner(
        model=model,
        groups=groups,
        policy=KeepPolicy(type=kind),
        score=score,
        **settings,
    )


def response(model, layer):
    """How strong each filter responds to some images."""
    found = {}
    handle = model.get_submodule(layer).register_forward_hook(
        lambda *call: found.update({layer: call[2].clamp(min=0).mean(dim=(0, 2, 3))})
    )
    with torch.no_grad():
        call(model, images(2))
    handle.remove()
    return [found]


class TestPlan:
    def test_feature_scores_that_see_no_maps_are_the_same_at_once(self, luna):
        model, groups = luna
        scores = random_scores(model, groups)
        plan = planner(luna, lambda net, layer: [scores]).plan(0.5, {'share': 0.5})
        assert plan == plan_of_fraction(
            groups, [scores], KeepPolicy(), 0.5, {'share': 0.5}
        )

    def test_feature_every_layer_behind_the_cut_ones(self, luna):
        """The same by hand: cut the one before, look again."""
        model, groups = luna
        plan = planner(luna, response, reset_norms=False).plan(0.5)
        shapes = []
        for index, group in enumerate(groups):
            earlier = plan_of_some(plan, groups[:index])
            scores = response(rebuild(model, earlier), group.name)[0][group.name]
            kept = top_channels(scores, group.channels // 2)
            assert plan.layers[group.name].out == tuple(kept)
            shapes.append(len(kept))
        assert shapes == [4, 4, 8, 8, 16, 16, 32, 32]
        # It matters: behind whole layers, others are the best.
        whole = {
            k: v for group in groups for k, v in response(model, group.name)[0].items()
        }
        assert plan != plan_of_fraction(groups, [whole], KeepPolicy(), 0.5)

    def test_feature_order_and_widths_that_the_score_sees(self, luna):
        seen = []

        def score(model, layer):
            module = model.get_submodule(layer)
            seen.append((layer, module.in_channels, module.out_channels))
            return [{layer: torch.arange(float(module.out_channels))}]

        planner(luna, score).plan(0.5)
        assert seen == [
            (NAMES[0], 3, 8), (NAMES[1], 4, 8), (NAMES[2], 4, 16), (NAMES[3], 8, 16),
            (NAMES[4], 8, 32), (NAMES[5], 16, 32), (NAMES[6], 16, 64),
            (NAMES[7], 32, 64),
        ]  # fmt: skip

    def test_feature_first_layer_is_scored_once(self, luna):
        layers = []

        def score(model, layer):
            layers.append(layer)
            return response(model, layer)

        greedy = planner(luna, score)
        first, second = greedy.plan(0.25), greedy.plan(0.5)
        assert layers == [*NAMES, *NAMES[1:]]
        alone = planner(luna, response)
        assert (alone.plan(0.5), alone.plan(0.25)) == (second, first)

    @pytest.mark.parametrize('reset', [True, False])
    def test_feature_norms(self, luna, reset):
        norms = []

        def score(model, layer):
            (norm,) = (m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
            norms.append(bool((norm.running_mean == 0).all()))
            return response(model, layer)

        planner(luna, score, reset_norms=reset).plan(0.5)
        assert set(norms) == {reset}
        assert not bool((luna[0].backbone.input_norm.running_mean == 0).all())

    def test_feature_union(self, luna):
        def both(model, layer):
            (scores,) = response(model, layer)
            return [scores, {layer: -scores[layer]}]

        plan = planner(luna, both).plan(0.25)
        assert plan.widths() == {
            name: 2 * width
            for name, width in zip(NAMES, [2, 2, 4, 4, 8, 8, 16, 16], strict=True)
        }


def plan_of_some(plan, groups):
    """The part of a plan that cuts some groups."""
    return make_plan(groups, {g.name: plan.layers[g.name].out for g in groups})


class TestExceptions:
    def test_exception_coupled(self):
        model = build_classifier('ResNet18')
        message = r'backbone\.conv1 is coupled with .*; set prune\.greedy=False$'
        with pytest.raises(ValueError, match=message):
            planner((model, groups_of(model)), response)

    def test_exception_nothing_left(self, luna):
        message = r'conv1: expected at least one of 8 channels .* share 0\.01'
        with pytest.raises(ValueError, match=message):
            planner(luna, response, kind='uniform_legacy').plan(0.01)
