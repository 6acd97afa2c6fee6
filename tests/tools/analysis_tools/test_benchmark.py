"""benchmark.py as a user runs it, and what of it holds on any machine.

How fast anything is depends on the machine: no test here asserts a time. Slow: they
train detectors and anomaly models by some iterations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.analysis import get_model_complexity_info

from lab.benchmarks import detection_costs
from lab.benchmarks.anomaly import AnomalySuite
from lab.benchmarks.detection import DetectionSuite, torch_nms
from lab.benchmarks.nms import numpy_nms, random_boxes
from lab.tables.benchmark_table import benchmark_lines, missed
from mmdefect import mmcv_ext_standin
from mmdefect.utils.timing import PairTimes, interleaved
from tests.conftest import REPO, run_tool
from tests.helpers.study_runs import load_tool

TINY = ['--depth', '18', '--image-size', '64', '--pairs', '2', '--train-pairs', '2']
TIMED = [
    'sd_idd_iter/gfl_iter',
    'sd_idd_iter/sd_idd_release_iter',
    'keep_iter/gfl_iter',
    'student_infer/gfl_infer',
    'standin_nms/numpy_nms',
]


@pytest.fixture(scope='module')
def suite() -> DetectionSuite:
    """The detector of the presets, on small images."""
    return DetectionSuite(configs=REPO / 'configs', image_size=64, pairs=2)


@pytest.fixture(scope='module')
def trained(suite):
    """A student after one iteration, made sure enough to detect something."""
    student, step = suite.training_step('sd_idd')
    losses = step()
    assert all(torch.isfinite(value) for value in losses.values())
    assert {'loss_dist_cls', 'loss_dist_box', 'loss_dist_feat'} <= set(losses)
    torch.nn.init.zeros_(student.bbox_head.gfl_cls.bias)
    return student


@pytest.fixture(scope='module')
def tool() -> Any:
    return load_tool('tools/analysis_tools/benchmark.py')


@pytest.fixture
def starts_warm(warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings whose start is timed find torch imported, and none warms up."""
    run, script = detection_costs._run, tmp_path / 'start.py'

    def start(code: str, *args: object) -> str:
        if code != detection_costs.START:
            return run(code, *args)
        script.write_text(code, encoding='utf-8')
        return run_tool(script, *args, programs=warm).stdout

    def without_warmup(*sides: Any, **settings: Any) -> PairTimes:
        return interleaved(*sides, **{**settings, 'warmup': 0})

    monkeypatch.setattr(detection_costs, '_run', start)
    monkeypatch.setattr(detection_costs, 'interleaved', without_warmup)


@pytest.mark.slow
def test_smoke(
    tool,
    repository: Path,
    capsys,
    monkeypatch: pytest.MonkeyPatch,
    starts_warm: None,
) -> None:
    monkeypatch.setattr(detection_costs, 'COCO', (1_180, 8_600, 80))
    monkeypatch.setattr(detection_costs, 'STEEL', (16, 200))
    out = repository / 'docs/results/bench_detection.json'
    assert tool.main([*TINY, '--out', str(out)]) == 0
    done = capsys.readouterr()
    content = json.loads(out.read_text(encoding='utf-8'))
    assert (content['name'], content['dataset']) == ('bench_detection', 'random images')
    assert content['seeds'] == [0]
    assert '--depth 18' in content['command']
    metrics = content['metrics']
    for name in TIMED:
        assert metrics[f'{name}_q25'] <= metrics[name] <= metrics[f'{name}_q75']
        assert metrics[f'{name}_ours_ms'] > 0
        assert metrics[f'{name}_other_ms'] > 0
        assert f'| `{name}` |' in done.out
        assert f'{name}: pair 2/2' in done.err
    assert metrics['student_ckpt/gfl_ckpt'] <= 1.01
    compiled = 'standin_nms/compiled_nms'
    assert (compiled in metrics) != (compiled in content['notes'])


def test_feature_only_what_is_asked_for(tool, suite) -> None:
    name = 'standin_nms/numpy_nms'
    assert tool.chosen(suite, None) == list(suite.comparisons)
    assert tool.chosen(suite, [name]) == [name]
    found = tool.measure(suite, [name])
    assert set(found) == set(PairTimes(a=(1, 1), b=(1, 1)).metrics(name))
    with pytest.raises(SystemExit, match='--only speed: expected measurements of sd_'):
        tool.chosen(suite, [name, 'speed'])


def test_feature_added_to_what_is_there(
    tool, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = repository / 'docs/results/bench_detection.json'
    words = [*TINY, '--only', 'standin_nms/numpy_nms', '--out', str(out)]
    out.parent.mkdir(parents=True, exist_ok=True)
    assert tool.main(words) == 0
    content = json.loads(out.read_text(encoding='utf-8'))
    content['metrics'] = {'startup/mmdet_startup': 1.5, 'standin_nms/numpy_nms': 9.0}
    out.write_text(json.dumps(content), encoding='utf-8')
    assert tool.main([*words, '--add']) == 0
    found = json.loads(out.read_text(encoding='utf-8'))
    assert found['metrics']['startup/mmdet_startup'] == 1.5
    assert found['metrics']['standin_nms/numpy_nms'] < 9
    assert found['command'].endswith('--add')
    assert found['command'].startswith(content['command'])
    with pytest.raises(SystemExit, match='--add: expected --out'):
        tool.main([*TINY, '--add'])


@pytest.mark.slow
def test_feature_student_is_stock_gfl_in_inference(suite, trained) -> None:
    """Equal modules, parameters and FLOPs, and the same boxes out of them."""
    stock = suite.stock(trained)
    student = trained.eval()
    assert type(stock).__module__.startswith('mmdet.')
    assert type(stock.bbox_head).__module__.startswith('mmdet.')
    names = {name for name, _ in student.named_modules()}
    alone = {name for name in names if not name.startswith('distill')}
    assert alone == {name for name, _ in stock.named_modules()}
    for a, b in zip(student.parameters(), stock.parameters(), strict=True):
        assert torch.equal(a, b)
    ours, other = (
        get_model_complexity_info(model.eval(), (3, 64, 64), show_table=False)
        for model in (student, stock)
    )
    assert ours['params'] == other['params'] > 30e6
    assert ours['flops'] == other['flops'] > 0
    ours, other = (
        suite.predictor(model)()[0].pred_instances for model in (trained, stock)
    )
    assert len(ours) > 0
    assert torch.equal(ours.bboxes, other.bboxes)
    assert torch.equal(ours.scores, other.scores)
    assert torch.equal(ours.labels, other.labels)


@pytest.mark.slow
def test_feature_checkpoint_holds_no_teacher(suite, trained) -> None:
    found = suite.comparisons['student_ckpt/gfl_ckpt'](None)
    assert found['student_ckpt/gfl_ckpt'] <= 1.01
    # Weights of R50, FPN and head in float32; a teacher would double them.
    assert 120e6 < found['student_ckpt/gfl_ckpt_ours_bytes'] < 140e6
    # It shares the frozen stages.
    assert trained.teacher.prefix.names == ('conv1', 'bn1', 'relu', 'maxpool', 'layer1')


def test_feature_numpy_nms_equals_standin_and_by_hand() -> None:
    for seed in range(3):
        boxes, scores = random_boxes(300, seed=seed)
        kept = numpy_nms(boxes, scores, iou_threshold=0.3)
        found = mmcv_ext_standin.nms(torch.tensor(boxes), torch.tensor(scores), 0.3, 0)
        assert kept.tolist() == found.tolist()
        assert 0 < len(kept) < len(boxes)
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 2], [9, 9, 10, 10]], dtype=np.float32)
    scores = np.array([0.5, 0.5, 0.9], dtype=np.float32)
    assert numpy_nms(boxes, scores, iou_threshold=0.5).tolist() == [2, 0, 1]
    assert numpy_nms(boxes, scores, iou_threshold=0.4).tolist() == [2, 0]
    assert numpy_nms(boxes[:0], scores[:0], iou_threshold=0.4).tolist() == []


def test_exception_different_boxes(suite, monkeypatch) -> None:
    kept = torch_nms(mmcv_ext_standin, size=64)()
    monkeypatch.setattr(mmcv_ext_standin, 'nms', lambda *args, **kwargs: kept[:-1])
    with pytest.raises(RuntimeError, match='numpy_nms: expected the same boxes'):
        suite.comparisons['standin_nms/numpy_nms'](None)
    with pytest.raises(ValueError, match='depth=20: expected one of 18, 34'):
        DetectionSuite(configs=REPO / 'configs', depth=20)


COUNTED = ['aupro_speedup', 'statistics_mb_per_step', 'train_default_cached/compat']


@pytest.mark.slow
def test_smoke_anomaly(tool, repository: Path) -> None:
    out = repository / 'bench_anomaly.json'
    args = [
        '--suite',
        'anomaly',
        '--image-size',
        '32',
        '--batch-size',
        '1',
        '--maps',
        '3',
        '--pairs',
        '2',
    ]
    args += ['--train-pairs', '2', '--only', *COUNTED, '--out', str(out)]
    assert tool.main(args) == 0
    content = json.loads(out.read_text(encoding='utf-8'))
    assert (content['name'], content['dataset']) == ('bench_anomaly', 'random images')
    assert 'EfficientNet-b4 with random weights at 32 px' in content['notes']
    assert '2 of training' in content['notes']
    assert set(COUNTED) <= set(content['metrics'])
    assert '| `aupro_difference` |' in '\n'.join(benchmark_lines(content['metrics']))


def test_feature_each_suite_has_its_own_sizes(tool) -> None:
    build, parse = tool.build_suite, tool.parse_args
    suite = build(parse(['--batch-size', '3']))
    assert isinstance(suite, DetectionSuite)
    assert (suite.pairs, suite.image_size, suite.batch_size) == (50, 320, 3)
    suite = build(parse(['--suite', 'anomaly', '--train-pairs', '4']))
    assert isinstance(suite, AnomalySuite)
    assert (suite.maps, suite.image_size, suite.train_pairs) == (200, 224, 4)
    suite = build(parse(['--suite', 'line', '--rows', '10']))
    assert (suite.rows, suite.images, suite.pairs) == (10, 500, 1000)
    with pytest.raises(SystemExit, match=r'--depth: expected .* the suite anomaly'):
        build(parse(['--suite', 'anomaly', '--depth', '18']))


def test_feature_table_of_numbers_that_are_no_ratios() -> None:
    metrics = {
        'aupro_speedup': 49.9,
        'aupro_speedup_q25': 45.0,
        'aupro_speedup_q75': 52.0,
        'aupro_speedup_ours_ms': 50.0,
        'aupro_speedup_other_ms': 2500.0,
        'aupro_difference': 4.9e-5,
        'statistics_mb_per_step': 4.2,
        'infer_eager_b1_images_per_s': 5.1,
        'infer_eager_b1_images_per_s_q25': 5.0,
        'infer_eager_b1_images_per_s_q75': 5.2,
    }
    assert benchmark_lines(metrics) == [
        '| number | measured | quartiles | ours, other | target |',
        '| --- | ---: | ---: | ---: | ---: |',
        '| `aupro_speedup` | 49.900 | 45.000 to 52.000 | 50 ms, 2500 ms | '
        '≥ 50.00, missed |',
        '| `aupro_difference` | 4.9e-05 | – | – | ≤ 1.0e-03, met |',
        '| `statistics_mb_per_step` | 4.200 | – | – | ≤ 5.00, met |',
        '| `infer_eager_b1_images_per_s` | 5.100 | 5.000 to 5.200 | – | – |',
    ]
    assert missed(metrics) == ['aupro_speedup']
