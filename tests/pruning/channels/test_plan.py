"""Plans as files: what is written is what is read, and nothing else is taken."""

from __future__ import annotations

import json

import pytest

from mmdefect.pruning.channels.plan import (
    FORMAT,
    ChannelPlan,
    LayerCut,
    complement,
    indices_kept,
    number_kept,
    plan_from_dict,
    read_plan,
    write_plan,
)

PLAN = ChannelPlan(
    layers={
        'backbone.conv1': LayerCut(out=(0, 2), out_of=4),
        'backbone.conv2': LayerCut(out=(1,), out_of=3, into=(0, 2), into_of=4),
        'head.fc': LayerCut(into=(1,), into_of=3),
    },
    origin={'scorer': 'SegIoU', 'share': 0.5},
)
WIDTHS = ChannelPlan(layers={'conv1': LayerCut(out=2, out_of=4)})


def entry(**changes):
    """A plan file of one layer."""
    layer = {'out': [0, 2], 'out_of': 4, **changes}
    kept = {key: value for key, value in layer.items() if value != 'left out'}
    return {'format': FORMAT, 'layers': {'conv': kept}}


class TestFile:
    def test_feature_round_trip(self, tmp_path):
        path = tmp_path / 'deep' / 'plan.json'
        for plan in (WIDTHS, ChannelPlan(layers={}), PLAN):
            assert read_plan(write_plan(plan, path)) == plan
        assert (WIDTHS.widths_only, PLAN.widths_only) == (True, False)
        assert [p.name for p in path.parent.iterdir()] == ['plan.json']
        # One layer a line, and no entry for a side that stays whole.
        text = path.read_text(encoding='utf-8')
        assert '    "head.fc": {"in": [1], "in_of": 3}\n' in text
        assert json.loads(text)['origin'] == {'scorer': 'SegIoU', 'share': 0.5}

    def test_exception_file(self, tmp_path):
        path = tmp_path / 'plan.json'
        with pytest.raises(FileNotFoundError, match=r'plan\.json: there is no channel'):
            read_plan(path)
        path.write_text('conv1: 3', encoding='utf-8')
        with pytest.raises(ValueError, match=r'plan\.json: expected a plan in JSON'):
            read_plan(path)
        path.write_text(json.dumps(entry(out=[9])), encoding='utf-8')
        with pytest.raises(ValueError, match=r'plan\.json, layer conv, out=\[9\]'):
            read_plan(path)


class TestRefusals:
    @pytest.mark.parametrize(
        'content', [[], {}, 'plan', {'format': 'mmdefect-channel-plan/2', 'layers': {}}]
    )
    def test_exception_no_plan(self, content):
        with pytest.raises(ValueError, match=r'the plan: expected \{.format'):
            plan_from_dict(content)

    def test_exception_layers(self):
        """A misspelt side would leave the layer whole."""
        for layers in (None, [], 'conv'):
            with pytest.raises(ValueError, match='the plan: expected "layers": '):
                plan_from_dict({'format': FORMAT, 'layers': layers})
        for layer in ([0, 1], 3, {'outs': [0], 'out_of': 2}):
            content = {'format': FORMAT, 'layers': {'conv': layer}}
            with pytest.raises(ValueError, match=r'layer conv=.* in and in_of'):
                plan_from_dict(content)

    @pytest.mark.parametrize(
        'kept',
        [[], [0, 4], [-1, 2], [2, 0], [1, 1], [0.5], 0, 5, -1, 'all', None, [None]],
    )
    def test_exception_channels(self, kept):
        with pytest.raises(ValueError, match=r'out=.* different indices below 4'):
            plan_from_dict(entry(out=kept))

    @pytest.mark.parametrize('total', ['left out', None, 0, -1, 4.0, 'four'])
    def test_exception_total(self, total):
        with pytest.raises(ValueError, match='layer conv, out_of='):
            plan_from_dict(entry(out_of=total))

    def test_exception_is_short(self):
        """A list of 3,000 indices is not repeated."""
        content = entry(out=[*range(3000), 0], out_of=3000)
        with pytest.raises(ValueError) as caught:
            plan_from_dict(content)
        assert len(str(caught.value)) < 250


class TestPlan:
    def test_feature_below(self):
        below = PLAN.below('backbone')
        assert list(below.layers) == ['conv1', 'conv2']
        assert below.layers['conv2'] is PLAN.layers['backbone.conv2']
        assert below.origin == PLAN.origin
        # A name that only begins alike is not below.
        assert not PLAN.below('back').layers

    def test_feature_widths(self):
        assert PLAN.widths() == {'backbone.conv1': 2, 'backbone.conv2': 1}
        assert WIDTHS.widths() == {'conv1': 2}

    def test_feature_kept(self):
        assert (number_kept(3), indices_kept(3)) == (3, [0, 1, 2])
        assert (number_kept((1, 5)), indices_kept((1, 5))) == (2, [1, 5])
        assert complement([3, 0], 5) == (1, 2, 4)
