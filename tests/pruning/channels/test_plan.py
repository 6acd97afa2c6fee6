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
        path = write_plan(PLAN, tmp_path / 'deep' / 'plan.json')
        assert read_plan(path) == PLAN
        assert [p.name for p in path.parent.iterdir()] == ['plan.json']

    def test_feature_round_trip_of_widths(self, tmp_path):
        again = read_plan(write_plan(WIDTHS, tmp_path / 'plan.json'))
        assert again == WIDTHS
        assert again.widths_only

    def test_feature_what_a_reader_sees(self, tmp_path):
        """One layer a line, and no entry for a side that stays whole."""
        text = write_plan(PLAN, tmp_path / 'plan.json').read_text(encoding='utf-8')
        assert '    "head.fc": {"in": [1], "in_of": 3}\n' in text
        assert json.loads(text)['origin'] == {'scorer': 'SegIoU', 'share': 0.5}

    def test_feature_nothing_cut(self, tmp_path):
        plan = ChannelPlan(layers={})
        assert read_plan(write_plan(plan, tmp_path / 'plan.json')) == plan

    def test_exception_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'there is no channel plan .*none'):
            read_plan(tmp_path / 'none.json')

    def test_exception_no_json(self, tmp_path):
        path = tmp_path / 'plan.json'
        path.write_text('conv1: 3', encoding='utf-8')
        with pytest.raises(ValueError, match=r'plan\.json is no JSON'):
            read_plan(path)

    def test_exception_names_file_and_layer(self, tmp_path):
        path = tmp_path / 'plan.json'
        path.write_text(json.dumps(entry(out=[9])), encoding='utf-8')
        with pytest.raises(ValueError, match=r'plan.json, layer conv, out keeps \[9\]'):
            read_plan(path)


class TestRefusals:
    @pytest.mark.parametrize(
        'content',
        [[], {}, 'plan', {'format': 'mmdefect-channel-plan/2', 'layers': {}}],
    )
    def test_exception_no_plan(self, content):
        with pytest.raises(ValueError, match='no channel plan of this format'):
            plan_from_dict(content)

    @pytest.mark.parametrize('layers', [None, [], 'conv'])
    def test_exception_no_layers(self, layers):
        with pytest.raises(ValueError, match='the plan has no layers'):
            plan_from_dict({'format': FORMAT, 'layers': layers})

    @pytest.mark.parametrize('layer', [[0, 1], 3, {'outs': [0], 'out_of': 2}])
    def test_exception_entry(self, layer):
        """A misspelt side would leave the layer whole."""
        content = {'format': FORMAT, 'layers': {'conv': layer}}
        with pytest.raises(ValueError, match=r'layer conv says .* in and in_of'):
            plan_from_dict(content)

    @pytest.mark.parametrize(
        'kept',
        [[], [0, 4], [-1, 2], [2, 0], [1, 1], [0.5], 0, 5, -1, 'all', None, [None]],
    )
    def test_exception_channels(self, kept):
        with pytest.raises(ValueError, match=r'out keeps .* of 4 channels'):
            plan_from_dict(entry(out=kept))

    @pytest.mark.parametrize('total', ['left out', None, 0, -1, 4.0, 'four'])
    def test_exception_total(self, total):
        with pytest.raises(ValueError, match='layer conv, out_of is'):
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
        assert not PLAN.widths_only

    def test_feature_kept(self):
        assert (number_kept(3), indices_kept(3)) == (3, [0, 1, 2])
        assert (number_kept((1, 5)), indices_kept((1, 5))) == (2, [1, 5])
        assert complement([3, 0], 5) == (1, 2, 4)
