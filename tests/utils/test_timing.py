"""Interleaved timing, with a clock that the test moves."""

from __future__ import annotations

import json

import pytest

from lab.tables.benchmark_table import benchmark_lines, missed
from lab.tables.results_table import render_text
from mmdefect.utils.timing import PairTimes, in_turn, interleaved


class Clock:
    """Stands still but for what the two sides say they take."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, seconds: list[float]):
        left = iter(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += next(left)

        return run


def test_smoke() -> None:
    clock = Clock()
    a = clock.side('a', [9, 2, 4, 6, 6])
    b = clock.side('b', [9, 1, 2, 2, 6])
    times = interleaved(a, b, pairs=4, warmup=1, clock=clock)
    assert times == PairTimes(a=(2, 4, 6, 6), b=(1, 2, 2, 6))
    assert times.ratios == [2, 2, 3, 1]
    assert times.ratio == 2
    assert times.quartiles == (1.75, 2.25)
    assert times.medians == (5, 2)
    assert times.metrics('ours/other') == {
        'ours/other': 2,
        'ours/other_q25': 1.75,
        'ours/other_q75': 2.25,
        'ours/other_ours_ms': 5000,
        'ours/other_other_ms': 2000,
    }


def test_feature_order_alternates_and_progress_counts_pairs() -> None:
    clock, seen = Clock(), []
    sides = [clock.side(name, [1.0] * 5) for name in 'ab']
    interleaved(
        *sides,
        pairs=3,
        warmup=2,
        clock=clock,
        progress=lambda done, pairs: seen.append((done, pairs)),
    )
    assert ''.join(clock.calls) == 'abba' + 'abbaab'
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_feature_slow_spell_of_the_machine_hardly_counts() -> None:
    """The ratio of pairs, not of what each side took all in all."""
    clock = Clock()
    load = [1.0, 1.0, 8.0, 8.0, 1.0]
    a = clock.side('a', [1.4 * x for x in load])
    b = clock.side('b', load)
    times = interleaved(a, b, pairs=5, warmup=0, clock=clock)
    assert times.ratio == pytest.approx(1.4)
    assert times.quartiles == pytest.approx((1.4, 1.4))


def test_feature_each_of_three_is_first_in_its_turn() -> None:
    clock = Clock()
    sides = {name: clock.side(name, [9.0, 1.0, 2.0, 3.0]) for name in 'abc'}
    taken = in_turn(sides, rounds=3, warmup=1, clock=clock)
    assert ''.join(clock.calls) == 'cab' + 'abc' + 'bca' + 'cab'
    assert taken == {name: [1, 2, 3] for name in 'abc'}


def test_exception_too_few_pairs() -> None:
    for name, value in (('pairs', 1), ('warmup', -1)):
        with pytest.raises(ValueError, match=f'{name}={value}: expected at least'):
            interleaved(print, print, **{'pairs': 2, name: value})
    with pytest.raises(ValueError, match='rounds=0: expected at least 1'):
        in_turn({'a': print}, rounds=0)


METRICS = {
    'sd_idd_iter/gfl_iter': 1.4004,
    'sd_idd_iter/gfl_iter_q25': 1.38,
    'sd_idd_iter/gfl_iter_q75': 1.42,
    'sd_idd_iter/gfl_iter_ours_ms': 1040.0,
    'sd_idd_iter/gfl_iter_other_ms': 742.0,
    'student_ckpt/gfl_ckpt': 1.0,
    'student_ckpt/gfl_ckpt_ours_bytes': 129_000_000,
    'student_ckpt/gfl_ckpt_other_bytes': 129_000_000,
    'x/y': 0.5,
    'x/y_ours_ms': 0.5,
    'x/y_other_ms': 1.0,
}
TABLE = """\
| ratio | measured | quartiles | ours, other | target |
| --- | ---: | ---: | ---: | ---: |
| `sd_idd_iter/gfl_iter` | 1.400 | 1.380 to 1.420 | 1040 ms, 742 ms | ≤ 1.40, missed |
| `student_ckpt/gfl_ckpt` | 1.000 | – | 129.00 MB, 129.00 MB | ≤ 1.01, met |
| `x/y` | 0.500 | – | 0.5 ms, 1 ms | – |
"""


def test_feature_table_of_benchmarks(tmp_path) -> None:
    assert '\n'.join(benchmark_lines(METRICS)) + '\n' == TABLE
    assert missed(METRICS) == ['sd_idd_iter/gfl_iter']
    results = {
        'name': 'bench_detection',
        'command': 'python benchmark.py',
        'commit': '0123456789abcdef',
        'date': '2026-01-02',
        'hardware': 'A CPU, 2 cores',
        'dataset': 'random images',
        'seeds': [0],
        'metrics': METRICS,
    }
    (tmp_path / 'b.json').write_text(json.dumps(results), encoding='utf-8')
    text = render_text('<!-- results:b -->\n<!-- /results -->\n', tmp_path)
    origin = 'random images, commit `0123456789`, 2026-01-02, A CPU, 2 cores, seeds 0'
    assert TABLE in text
    assert f'{origin}: `python benchmark.py`\n' in text
