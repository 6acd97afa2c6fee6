"""Finished streams of products as runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lab.product_results import product_runs
from mmdefect.models.anomaly.product_memory.bank import FIELDS
from mmdefect.streams.matrix import StreamMatrix
from tests.helpers.study_runs import load_tool
from tests.helpers.synthetic_stream import NEW, OLD, edited, make_stream

NAMES = OLD + NEW
# After the last step; the first products were at 0.9 when they were learned.
IMAGES = [0.8, 0.9, 0.9, 1.0, 1.0, 0.5]
# Of which one product gives more than the 5 % that are certified.
ALARMS = [0.0, 0.05, 0.0, 0.1, 0.0, 0.9]


def bank(number: int) -> dict[str, torch.Tensor]:
    """Of 59 held-out images; the last product has folds and certifies nothing."""
    content = {
        name: torch.zeros((1,) * sizes, dtype=kind)
        for name, (sizes, kind) in FIELDS.items()
    }
    content['held'] = torch.linspace(0, 1, 59)[None]
    content['facts'] = torch.tensor([209, 5 * (number == 5), -1])
    return {f'banks.{number}.{name}': value for name, value in content.items()}


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    folder = make_stream(tmp_path, 'memory')
    matrix = StreamMatrix(classes=NAMES, metrics=['image_auroc'])
    first = {f'anomaly/image_auroc/{name}': 0.9 for name in OLD}
    matrix.add_step(step=0, old=[], new=OLD, scalars=first)
    last = {}
    for name, image, alarm in zip(NAMES, IMAGES, ALARMS, strict=True):
        last |= {
            f'anomaly/image_auroc/{name}': image,
            f'anomaly/false_alarm/{name}': alarm,
            f'anomaly/pixel_auroc/{name}': 0.7 if name in OLD else float('nan'),
        }
    matrix.add_step(step=1, old=OLD, new=NEW, scalars=last)
    matrix.save(folder / 'matrix.json')
    (folder / 'step_1/memory.py').write_text(
        'randomness = dict(seed=3)\nmodel = dict(alarm=dict(rate=0.05))\n'
    )
    state = {k: v for number in range(6) for k, v in bank(number).items()}
    torch.save({'state_dict': state}, folder / 'step_1/last.pth')
    with edited(folder / 'stream.json') as stream:
        stream['steps'][1]['checkpoint'] = 'step_1/last.pth'
        for step in stream['steps']:
            step['duration_s'] = 90.0
    return folder


def test_smoke(work_dir: Path) -> None:
    ((seed, run),) = product_runs(
        [work_dir], command='make', apart=['scratches']
    ).items()
    found = run['metrics']
    assert (seed, run['command'], run['duration_s']) == ('3', 'make', 180.0)
    assert found['image_auroc/scratches'] == 0.5
    assert found['image_auroc'] == pytest.approx(4.6 / 5)  # without it
    assert found['pixel_auroc'] == pytest.approx(0.7)
    assert found['false_alarm'] == pytest.approx(1.05 / 6)  # with it
    assert found['forgetting'] == pytest.approx(0.1 / 3)
    assert found['seconds_per_product'] == 30
    assert [found[f'certified/{name}'] for name in NAMES] == [1, 1, 1, 1, 1, 0]
    assert found['within_certified'] == pytest.approx(4 / 5)
    kept = sum(value.nbytes for value in bank(0).values())
    assert found['mb_per_product'] == pytest.approx(kept / 1e6)
    assert 'routing' not in found


def test_feature_a_method_without_memory(work_dir: Path) -> None:
    torch.save({'state_dict': {'weight': torch.zeros(3)}}, work_dir / 'step_1/last.pth')
    (run,) = product_runs([work_dir], command='make').values()
    assert 'mb_per_product' not in run['metrics']
    assert run['metrics']['image_auroc'] == pytest.approx(5.1 / 6)


def test_feature_one_stream_after_the_other(
    work_dir: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = load_tool('tools/misc/collect_product_results.py')
    out = repository / 'products.json'
    for name in ('resnet50/memory', 'resnet50/joint'):
        tool.main(
            [str(out), f'{name}={work_dir}', '--dataset', 'six', '--command', name]
        )
    content = json.loads(out.read_text())
    assert list(content['runs']) == ['resnet50/memory', 'resnet50/joint']
    assert content['runs']['resnet50/memory']['3']['command'] == 'resnet50/memory'
    assert content['metrics']['resnet50/joint/image_auroc/scratches'] == 0.5
    with pytest.raises(SystemExit, match='2'):
        tool.main([str(out), 'memory=a', '--dataset', 'six', '--command', 'x'])
    assert 'memory=a: expected ENCODER/METHOD=' in capsys.readouterr().err
