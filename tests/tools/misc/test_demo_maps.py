"""What surrounds the training of the demo of maps."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from mmdefect.streams.anomaly import AnomalyStream
from mmdefect.streams.matrix import StreamMatrix
from tests.conftest import REPO
from tests.tools.misc.test_demo import loaded

GOOD = {
    'image_auroc': 0.85,
    'routing': 0.99,
    'false_alarm': 0.08,
    'lost': 0.0,
    'unknown': 0.9,
}


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As a script has it: its neighbours can be imported."""
    monkeypatch.syspath_prepend(str(REPO / 'tools/misc'))
    return loaded('demo_maps')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'image_auroc': 0.849}, 'image AUROC 0.849, at least 0.85 expected'),
        ({'routing': 0.985}, '98.5% recognised, at least 99% expected'),
        ({'false_alarm': 0.1}, '10.0% false alarms, at most 8% expected'),
        ({'lost': 0.001}, '0.0010 of an old product is lost, 0 expected'),
        ({'unknown': 0.5}, '50% of dots are unknown, at least 90% expected'),
        ({'routing': None}, 'the stream has no scores'),
    ],
)
def test_feature_verdict(demo, change, message, capsys) -> None:
    assert demo.verdict(**GOOD) == 0
    assert demo.verdict(**{**GOOD, **change}) == 1
    assert f'FAILED: {message}' in capsys.readouterr().err


def test_feature_what_is_measured(demo, tmp_path) -> None:
    """Of all products after the last step, and what the worst of the old has lost."""
    metrics = [*AnomalyStream.metrics, *AnomalyStream.more_metrics]
    matrix = StreamMatrix(classes=['cloth', 'metal'], metrics=metrics)
    first = {f'anomaly/{name}/cloth': 0.9 for name in metrics}
    matrix.add_step(step=0, old=[], new=['cloth'], scalars=first)
    later = {f'anomaly/{n}/{c}': 0.8 for n in metrics for c in matrix.classes}
    matrix.add_step(step=1, old=['cloth'], new=['metal'], scalars=later)
    found = demo.measured(matrix)
    assert found.pop('lost') == pytest.approx(0.1)
    assert found == pytest.approx(dict.fromkeys(found, 0.8))
    assert {*found, 'lost', 'unknown'} == set(GOOD)
    lines = [json.dumps({'decision': d}) for d in ('ok', *['unknown product'] * 3)]
    (tmp_path / 'results.jsonl').write_text('\n'.join(lines), encoding='utf-8')
    counts = demo.decisions(tmp_path)
    assert demo.share(counts, 'unknown product') == 0.75


def test_feature_commands(demo) -> None:
    """Its config is there, and says which product is never learned."""
    command = demo.train_command()
    config = REPO / command[2]
    assert config.is_file()
    assert f"'{demo.UNKNOWN}'" not in config.read_text(encoding='utf-8')
    assert command[-2:] == [
        f'{split}_dataloader.dataset.data_root=data/toy/demo_maps/'
        for split in ('train', 'test')
    ]
    line = "x - mmengine - INFO - product 'cloth': learned; alarm at 8.9: 59 good"
    assert demo.SHOWN.search(line)
    assert demo.SHOWN.search('x - INFO - [memory_toy_3-1x2] step 1 of 0-2: metal')
    assert not demo.SHOWN.search('x - INFO - [memory_toy_3-1x2] report: a.html')
