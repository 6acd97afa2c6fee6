"""Networks are timed in turns with the whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import pruning_latency
from lab.pruning_latency import TimeAgain, build_network
from mmdefect.pruning.channels.cost import Cost


@pytest.fixture
def clock(monkeypatch) -> list[str]:
    """What is timed, in order; networks are their folders."""
    monkeypatch.setattr(pruning_latency, 'build_network', lambda folder: folder)
    return []


def timer(order: list[str], milliseconds: list[float]) -> TimeAgain:
    def measure(model: Path, size: int) -> Cost:
        order.append(model.name)
        latency = milliseconds[len(order) - 1]
        return Cost(
            parameters=len(model.name),
            macs=size,
            latency_ms_p50=latency,
            latency_ms_p95=2 * latency,
            threads=1,
            runs=2,
        )

    return TimeAgain(112, measure)


def test_feature_turns_and_their_median(clock: list[str]) -> None:
    """The second turn is disturbed, for both."""
    network, whole = timer(clock, [1, 10, 8, 80, 2, 11])(Path('w'), 'parameters-0.1')
    assert clock == ['parameters-0.1', 'dense'] * 3
    assert (network['latency_ms_p50'], network['latency_ms_p95']) == (2, 4)
    assert (whole['latency_ms_p50'], whole['macs']) == (11, 112)
    assert (network['parameters'], network['threads']) == (len('parameters-0.1'), 1)


@pytest.mark.parametrize('name', ['dense', 'parent'])
def test_feature_the_whole_network_is_timed_once(clock: list[str], name: str) -> None:
    network, whole = timer(clock, [3, 4, 5])(Path('w'), name)
    assert clock == ['dense'] * 3
    assert network == whole
    assert whole['latency_ms_p50'] == 4


def test_exception_no_network(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'classifier\.py: expected a network'):
        build_network(tmp_path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('model = open({!r}, "w")', 'files of a work dir are not run'),
        (
            'model = dict(type="builtins.open", file={!r}, mode="w")',
            "builds 'builtins.open': expected types of mmdefect",
        ),
    ],
)
def test_exception_a_config_is_not_run(text: str, message: str, tmp_path: Path) -> None:
    ran = tmp_path / 'ran'
    (tmp_path / 'classifier.pth').touch()
    path = tmp_path / 'classifier.py'
    path.write_text(text.format(str(ran)), encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        build_network(tmp_path)
    assert not ran.exists()
