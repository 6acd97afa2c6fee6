"""Drawn lines: nothing shifts and nothing alarms; what shifts is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmdefect.line.days import Day
from mmdefect.line.reference import Reference
from mmdefect.line.settings import DriftBands
from mmdefect.line.telling import sentence
from mmdefect.line.traces import Trace
from mmdefect.line.watch import traces_of
from tests.helpers.drawn_line import day_name, drawn_day, from_day, steady

USUAL = DriftBands()


def reference(
    images: int = 400, *, seed: int = 99, version: str = 'v0001'
) -> Reference:
    random = np.random.default_rng(seed)
    usual = replace(drawn_day(0, images, random, version=version), day='')
    return Reference(version=version, made='', origin='drawn', products=(usual,))


def traced(
    days: int = 30,
    images: int = 150,
    *,
    bands: DriftBands = USUAL,
    seed: int = 0,
    **courses,
) -> dict[str, Trace]:
    random = np.random.default_rng(seed)
    drawn = [drawn_day(number, images, random, **courses) for number in range(days)]
    found, missing = traces_of(drawn, {'v0001': reference()}, bands)
    assert missing == []
    return {one.measure: one for one in found}


def left(traces: dict[str, Trace]) -> dict[str, str]:
    return {name: one.left for name, one in traces.items() if one.left}


def test_feature_no_drift_no_alarm_in_thirty_days() -> None:
    """Four measures at 1 % in 30 days: 0.04 false alarms a line are expected at most.

    Of eight lines 0.32 at most. In truth fewer: beside the test, the index has to be
    above 0.25, and chance alone makes it (10 - 1) (1 / 150 + 1 / 400) = 0.08.
    """
    for seed in range(8):
        traces = traced(seed=seed)
        assert traces.keys() == {'score', 'brightness', 'sharpness', 'alarms'}
        assert left(traces) == {}
        assert all(set(one.states) == {'ok'} for one in traces.values())


@pytest.mark.parametrize(
    ('measure', 'courses'),
    [
        ('brightness', {'brightness': from_day(19, 120, 112)}),
        ('score', {'score': from_day(19, 1, 1.3)}),
        ('alarms', {'alarms': from_day(19, 0.02, 0.25)}),
    ],
)
def test_feature_what_shifts_is_named_with_its_first_day(measure, courses) -> None:
    """From the 20th day on: a grey value of one standard deviation; 30 %; 23 points."""
    traces = traced(**courses)
    assert left(traces) == {measure: '2026-10-20'}
    trace = traces[measure]
    assert trace.out_since == '2026-10-20'
    assert trace.states == ('ok',) * 19 + ('out',) * 11
    assert trace.state == 'out'


def test_feature_what_came_back_is_told_from_what_is_out() -> None:
    def lamp(number: int) -> float:
        return 100 if number in (5, 6, 12, 13) else 120

    trace = traced(days=14, brightness=lamp)['brightness']
    assert (trace.left, trace.out_since) == (day_name(5), day_name(12))
    trace = traced(days=12, brightness=lamp)['brightness']
    assert (trace.left, trace.out_since, trace.state) == (day_name(5), None, 'ok')


def test_feature_few_images_are_undecided_never_ok() -> None:
    """However far they are; over several days they become enough."""
    dark = steady(60)
    for trace in traced(days=3, images=49, brightness=dark).values():
        assert trace.states == ('undecided',) * 3
        assert (trace.state, trace.left, trace.decided) == ('undecided', None, None)
    week = traced(days=3, images=49, brightness=dark, bands=DriftBands(window_days=2))
    assert week['brightness'].states == ('undecided', 'out', 'out')
    assert week['brightness'].images.tolist() == [49, 98, 98]
    assert week['brightness'].left == day_name(1)


def test_feature_a_reference_of_few_images_decides_nothing() -> None:
    day = drawn_day(0, 500, np.random.default_rng(0), brightness=steady(60))
    found, _ = traces_of([day], {'v0001': reference(40)}, USUAL)
    assert [one.states for one in found] == [('undecided',)] * 4


def test_feature_thresholds_are_those_of_the_settings() -> None:
    """The same shift of three eighths of a standard deviation, with a stricter band."""
    shift = {'brightness': steady(123), 'images': 2000, 'days': 2}
    assert left(traced(**shift)) == {}
    strict = DriftBands(psi=0.1)
    assert left(traced(**shift, bands=strict)) == {'brightness': day_name(0)}
    share = {'alarms': steady(0.12), 'images': 500, 'days': 1}
    assert left(traced(**share)) == {'alarms': day_name(0)}
    assert left(traced(**share, bands=DriftBands(alarms=0.2))) == {}


def test_feature_pixels_go_on_with_the_reference_of_the_version_before() -> None:
    """Scores do not: those of another version are others."""
    random = np.random.default_rng(0)
    days = [
        drawn_day(
            number,
            150,
            random,
            version='v0001' if number < 3 else 'v0002',
            brightness=from_day(2, 120, 100),
        )
        for number in range(6)
    ]
    found, missing = traces_of(days, {'v0001': reference()}, USUAL)
    days_of = {(one.measure, one.version): one.days for one in found}
    assert len(days_of['brightness', None]) == 6
    assert len(days_of['score', 'v0001']) == 3
    assert missing == [
        'alarms, score of v0002: undecided, there is no reference; make one with '
        '`mmdefect line reference`'
    ]
    dark = next(one for one in found if one.measure == 'brightness')
    assert dark.left == day_name(2)
    whose = 'pictures of v0001, v0002, by the reference of v0001'
    assert sentence(dark, USUAL).endswith(whose)
    assert whose not in sentence(next(o for o in found if o.version), USUAL)


def routed(number: int, decisions: dict[str, int], product: str | None) -> Day:
    day = drawn_day(number, 200, np.random.default_rng(number), product=product)
    return replace(day, decisions=decisions)


def test_feature_unknown_products_are_a_share_of_all() -> None:
    """They have no product, so that nothing else of them can be held against any."""
    usual = reference(400).products[0]
    known = replace(
        reference(), products=(replace(usual, product='cap', decisions={'ok': 400}),)
    )
    days = []
    for number in range(4):
        days.append(routed(number, {'ok': 200}, 'cap'))
        if number:
            days.append(
                routed(number, {'unknown product': 2 + 30 * (number > 1)}, None)
            )
    found, missing = traces_of(days, {'v0001': known}, USUAL)
    assert missing == []
    (unknown,) = [one for one in found if one.measure == 'unknown products']
    assert unknown.images.tolist() == [200, 202, 232, 232]
    assert unknown.distance == pytest.approx([0, 2 / 202, 32 / 232, 32 / 232])
    assert unknown.states == ('ok', 'ok', 'out', 'out')
    assert unknown.left == day_name(2)


def test_feature_images_without_boxes_have_no_score() -> None:
    """They count as the lowest: a detector that sees nothing any more has drifted."""
    usual = drawn_day(0, 200, np.random.default_rng(0))
    rest = {n: bins for n, bins in usual.histograms.items() if n != 'score'}
    blind = replace(usual, day=day_name(1), histograms=rest)
    known = replace(reference(), products=(replace(usual, day=''),))
    found, _ = traces_of([usual, blind], {'v0001': known}, USUAL)
    (score,) = [one for one in found if one.measure == 'score']
    assert score.images.tolist() == [200, 200]
    assert score.states == ('ok', 'out')
    assert np.isnan(score.quantiles[1]).all()
    assert score.to_dict()['quantiles'][1] == [None] * 3


def test_feature_what_is_missing_is_told_for_a_month() -> None:
    """A version of long ago that never had a reference is nobody's worry."""
    random = np.random.default_rng(0)
    old = drawn_day(0, 60, random, version='v0000')
    for newest, told in ((30, 1), (31, 0)):
        days = [old, drawn_day(newest, 60, random)]
        assert len(traces_of(days, {'v0001': reference()}, USUAL)[1]) == told
    assert traces_of([], {}, USUAL) == ([], [])
