"""From drawn cracks to a pruned classifier and a pruned detector, by the tools.

Slow: a sweep, a classifier in two processes and a detector are trained.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

from lab.pruning_latency import TimeAgain
from mmdefect.pruning.channels.plan import read_plan
from tests.conftest import REPO, run_tool, toy_options
from tests.helpers.study_runs import load_tool
from tests.helpers.tool_runs import run_script

pytestmark = pytest.mark.slow
FTL = REPO / 'configs/ftl'
SMALL = [
    'train_cfg.max_epochs=1',
    'param_scheduler=None',
    'train_dataloader.batch_size=16',
]


@pytest.fixture(scope='module')
def cracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy cracks and their patches."""
    root = tmp_path_factory.mktemp('cracks')
    draw = load_tool('tools/misc/make_toy_data.py').main
    draw([str(root), '--dataset', 'cracks', '--seed', '0'])
    cut = load_tool('tools/dataset_converters/crack_patches.py').main
    out = ['--out', str(root / 'patches'), '--target-ids', '1']
    assert cut([str(root / 'cracks'), *out]) == 0
    return root


def options(root: Path) -> list[str]:
    roots = [
        f'{split}_dataloader.dataset.data_root={root}/patches/'
        for split in ('train', 'val', 'test')
    ]
    return [*roots, f'mask_dataloader.dataset.data_root={root}/cracks/train', *SMALL]


def prune(warm: Path, cracks: Path, *args: str) -> str:
    """Two networks from a random parent, recovered for one epoch."""
    config, work_dir = FTL / 'resnet18-w16_pruned_toy_cracks.py', cracks / 'sweep'
    settings = ['load_from=None', 'prune.untrained=True', 'prune.grid.values=[0.3]']
    settings += ['prune.recovery.bn_images=64', *options(cracks)]
    given = [config, '--work-dir', work_dir, *args, '--cfg-options', *settings]
    return run_tool('tools/prune.py', *given, programs=warm).stdout


@pytest.fixture(scope='module')
def sweep(warm: Path, cracks: Path) -> Path:
    prune(warm, cracks)
    return cracks / 'sweep'


def test_smoke_sweep(sweep: Path) -> None:
    summary = json.loads((sweep / 'summary.json').read_text(encoding='utf-8'))
    dense, small = summary['outcomes']
    assert small['cost']['parameters'] <= 0.3 * dense['cost']['parameters']
    assert 'index.html' in {path.name for path in sweep.iterdir()}
    assert summary['command'].startswith('python tools/prune.py')


def test_feature_same_command_again_does_nothing(
    warm: Path, sweep: Path, cracks: Path
) -> None:
    before = (sweep / 'parameters-0.30/classifier.pth').stat().st_mtime_ns
    assert 'fine-tuning' not in prune(warm, cracks, '--stage', 'train')
    assert (sweep / 'parameters-0.30/classifier.pth').stat().st_mtime_ns == before


def test_feature_networks_timed_again(sweep: Path, cracks: Path) -> None:
    moved = shutil.copytree(sweep, cracks / 'moved')
    network, whole = TimeAgain(112)(moved, 'parameters-0.30')
    assert network['parameters'] < 0.31 * whole['parameters']
    assert network['macs'] < whole['macs']
    assert min(network['latency_ms_p50'], whole['latency_ms_p50']) > 0


def test_feature_pruned_classifier_trains_and_tests_in_two_processes(
    warm: Path, sweep: Path, tmp_path: Path
) -> None:
    config = sweep / 'parameters-0.30/classifier.py'
    args = (2, '--work-dir', tmp_path)
    run_script('tools/dist_train.sh', config, *args, programs=warm)
    weights = sweep / 'parameters-0.30/classifier.pth'
    said = run_script('tools/dist_test.sh', config, weights, *args, programs=warm)
    small = json.loads((sweep / 'summary.json').read_text(encoding='utf-8'))[
        'outcomes'
    ][1]
    # The sweep measured the same network on the same images.
    expected = small['test']['test']
    assert f'defect/miss: {expected["misses"]}.0000' in said or (
        f'defect/miss: {expected["misses"]}  ' in said
    )


def test_feature_pruned_resnet_inside_gfl_trains(
    warm: Path, sweep: Path, toy_neu_det: Path, tmp_path: Path
) -> None:
    plan = sweep / 'parameters-0.30/plan.json'
    kept = read_plan(plan).widths()
    # FPN takes what the last three stages give.
    stages = [kept[f'backbone.layer{number}.1.conv2'] for number in (2, 3, 4)]
    settings = {
        **toy_options(toy_neu_det),
        'model.backbone.plan': str(plan),
        'model.neck.in_channels': f'[{",".join(map(str, stages))}]',
        'train_cfg.max_epochs': 1,
    }
    run_tool(
        'tools/train.py',
        FTL / 'gfl_pruned-r18_toy_neu-det.py',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        *(f'{key}={value}' for key, value in settings.items()),
        programs=warm,
    )
    assert (tmp_path / 'last_checkpoint').is_file()
    cfg = Config.fromfile(tmp_path / 'gfl_pruned-r18_toy_neu-det.py')
    assert cfg.model.backbone.type == 'mmdefect.PrunedBackbone'
