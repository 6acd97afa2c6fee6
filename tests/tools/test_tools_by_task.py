"""Each analysis tool with a config of each task: it works, or says what it takes."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest
from mmengine.registry import DefaultScope

from mmdefect.testing import make_toy_casting, make_toy_products
from tests.conftest import REPO
from tests.helpers.tool_runs import run_here

CONFIGS = {
    'detection stream': 'gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py',
    'detector': 'gfl/gfl_r18_fpn_toy_neu-det.py',
    'anomaly stream': 'iuf/iuf_toy_3-1x2.py',
    'classifier': 'casting/luna-gap_casting.py',
    'pruned': 'ftl/resnet18-w16_pruned_toy_cracks.py',
}
CLASSIFIERS = ('classifier', 'pruned')


def call(tool: str, task: str, *args: object) -> str:
    """Run a tool in this process with a config; return what it prints."""
    DefaultScope._instance_dict.clear()
    return run_here(f'tools/{tool}', REPO / 'configs' / CONFIGS[task], *args)


@pytest.fixture(scope='module')
def roots(toy_neu_det: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Data root of each task, small."""
    folder = tmp_path_factory.mktemp('data')
    make_toy_casting(folder / 'casting', parts=4, copies=2, size=64)
    make_toy_products(folder, size=32, products=6, train=2, test=2)
    patches = folder / 'patches'
    (patches / 'train').mkdir(parents=True)
    image = cv2.imread(str(next((folder / 'cloth').rglob('*.png'))))
    cv2.imwrite(str(patches / 'train/a.png'), image)
    (patches / 'train.txt').write_text('a.png 1\n', encoding='utf-8')
    return {
        'detection stream': toy_neu_det,
        'detector': toy_neu_det,
        'anomaly stream': folder,
        'classifier': folder / 'casting',
        'pruned': patches,
    }


@pytest.mark.parametrize(
    ('task', 'names'),
    [
        ('detection stream', r'(crazing|inclusion|patches)_\d+'),
        ('detector', r'[\w-]+_\d+'),
        ('anomaly stream', r'(cloth|marble|wood)_\d+'),
        ('classifier', r'(def|ok)_front_cast_\w+'),
        ('pruned', 'background_a'),
    ],
)
def test_feature_browse_dataset(
    task: str, names: str, roots: dict, tmp_path: Path
) -> None:
    options = [f'train_dataloader.dataset.data_root={roots[task]}/']
    if task == 'classifier':
        options.append('train_dataloader.dataset.protocol=legacy')
    args = ('--output-dir', tmp_path, '--max-images', 3, '--cfg-options', *options)
    printed = call('analysis_tools/browse_dataset.py', task, *args)
    found = sorted(path.stem for path in tmp_path.iterdir())
    assert len(found) == (1 if task == 'pruned' else 3)
    assert f'{len(found)} of ' in printed
    assert all(re.fullmatch(names, stem) for stem in found), found
    assert all(cv2.imread(str(path)).std() > 1 for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ('task', 'side'),
    [
        ('detection stream', 96),
        ('detector', 96),
        ('anomaly stream', 128),
        ('classifier', 300),
    ],
)
def test_feature_get_flops_takes_the_size_of_the_config(task: str, side: int) -> None:
    printed = call('analysis_tools/get_flops.py', task)
    assert f'input      3 x {side} x {side}\n' in printed
    assert re.search(r'FLOPs +\d', printed)


def test_exception_get_flops_without_a_size() -> None:
    with pytest.raises(ValueError, match=r'expected a Resize.*--shape H W'):
        call('analysis_tools/get_flops.py', 'pruned')
    printed = call('analysis_tools/get_flops.py', 'pruned', '--shape', 112, 112)
    assert 'input      3 x 112 x 112\n' in printed


@pytest.mark.parametrize('task', CONFIGS)
def test_feature_print_config(task: str) -> None:
    printed = call('misc/print_config.py', task)
    assert ('\nstream = ' in printed) == task.endswith('stream')
    if not task.endswith('stream'):
        with pytest.raises(ValueError, match='has no stream'):
            call('misc/print_config.py', task, '--step', 1)


@pytest.mark.parametrize('task', [task for task in CONFIGS if task not in CLASSIFIERS])
def test_exception_saliency_takes_classifiers(task: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='a classifier such as ImageClassifier'):
        call('analysis_tools/saliency.py', task, 'none.pth', '--out', tmp_path)


@pytest.mark.parametrize('task', CLASSIFIERS)
def test_exception_saliency_without_a_checkpoint(task: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at none\.pth'):
        call('analysis_tools/saliency.py', task, 'none.pth', '--out', tmp_path)
