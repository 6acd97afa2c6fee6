"""Every kind of config as a `mmdefect::` base of one's own: it trains as the file does.

MMEngine marks what comes from such a base with `_scope_`; each mark must end where it
is understood, and names must mean what they mean in the base. Each kind is built twice
and trains, so all but one are slow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.stream import resolve_step_config
from mmdefect.testing import make_toy_casting, make_toy_products
from tests.helpers.configs import FOLDERS, ROOT

# At least one of every folder, and all that the documents name.
BASES = {
    'atss/lwf_atss-r18_fpn_toy_neu-det_3+3.py': 'neu-det',
    'erd/erd_r18_fpn_toy_neu-det_3+3.py': 'neu-det',
    'gfl/gfl_r18_fpn_toy_neu-det.py': 'neu-det',
    'gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py': 'neu-det',
    'gfl_increment/gfl_r50_fpn_1x_coco_first_40_cats.py': 'coco',
    'gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py': 'neu-det',
    'keep/keep-0_r18_fpn_toy_neu-det_3+3.py': 'neu-det',
    'quality/quality_r18_fpn_toy_neu-det_3+3.py': 'neu-det',
    'sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py': 'neu-det',
    'anomaly_stream/finetune_toy_3-1x2.py': 'products',
    'coreset/coreset_toy_3-1x2.py': 'products',
    'memory/memory_toy_3-1x2.py': 'products',
    'iuf/iuf_toy_3-1x2.py': 'products',
    'iuf/iuf_mobilenet-v2_cpu_products_3-1x2.py': 'products',
    'uniad/uniad_toy_3-1x2.py': 'products',
    'casting/luna-gap_casting.py': 'casting',
    'casting/mobilenet-v2_casting.py': 'casting',
    'ftl/resnet18-w16_toy_cracks.py': 'lines',
}
FAST = 'casting/luna-gap_casting.py'
each_base = pytest.mark.parametrize(
    ('base', 'data'),
    [
        pytest.param(*item, marks=() if item[0] == FAST else pytest.mark.slow)
        for item in BASES.items()
    ],
    ids=BASES,
)
PRODUCTS = ['cloth', 'dots', 'marble', 'metal', 'tiles']


@pytest.fixture(scope='module')
def roots(
    tmp_path_factory: pytest.TempPathFactory, toy_neu_det: Path, lines: Path
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp('data')
    make_toy_products(folder / 'products', size=32, products=5, train=4, test=5)
    make_toy_casting(folder / 'casting', parts=3, copies=4, size=64)
    return {
        'neu-det': toy_neu_det,
        'coco': toy_neu_det,
        'products': folder / 'products',
        'casting': folder / 'casting',
        'lines': lines,
    }


def options(data: str, root: Path, tmp_path: Path) -> dict[str, Any]:
    """Two iterations of two small images, in a worker process."""
    loaders = {'train': {'num_workers': 1, 'batch_size': 2, 'dataset.indices': 4}}
    loaders['test'] = {'num_workers': 0, 'batch_size': 2, 'dataset.indices': 2}
    own: dict[str, Any] = {
        'train_cfg.max_epochs': 1,
        'custom_hooks': [],
        'param_scheduler': [],
    }
    for name, loader in loaders.items():
        loader['dataset.data_root'] = str(root)
        if data == 'coco':
            loader['dataset.ann_file'] = str(coco_file(root, tmp_path))
            loader['dataset.data_prefix.img'] = ''
            resize = {'train': 2, 'test': 1}[name]
            loader[f'dataset.pipeline.{resize}.scale'] = (64, 64)
        if data == 'products':
            loader['dataset.pipeline.1.scale'] = (64, 64)
            loader['dataset.metainfo.classes'] = PRODUCTS
        if data == 'casting':
            loader['dataset.protocol'] = 'legacy'
        own |= {f'{name}_dataloader.{key}': value for key, value in loader.items()}
    if data == 'products':
        stream = ['cloth', 'marble', 'metal'], ['dots'], ['tiles']
        own['stream.protocol'] = [list(step) for step in stream]
    return own


def coco_file(root: Path, folder: Path) -> Path:
    """The toy's boxes in a file of COCO's 80 classes, its first six taking them."""
    content = json.loads((root / 'coco/train.json').read_text(encoding='utf-8'))
    names = re.findall(
        r"'([a-z ]+)'",
        (ROOT / 'configs/gfl_increment/gfl_r50_fpn_1x_coco_first_40_cats.py')
        .read_text(encoding='utf-8')
        .partition('first_40')[2]
        .partition('model')[0],
    )
    assert len(names) == 80
    content['categories'] = [dict(id=k, name=n) for k, n in enumerate(names, 1)]
    path = folder / 'coco.json'
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def without_files(model: Any) -> None:
    """Take weights that are read from files out of a model."""
    for key, value in list(model.items()):
        if key == 'init_cfg' and (value or {}).get('type') == 'Pretrained':
            model[key] = None
        elif isinstance(value, dict):
            without_files(value)


@pytest.fixture
def small() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def runner_of(path: Path, work_dir: Path, own: dict[str, Any]) -> Runner:
    cfg = load_config(path, cfg_options=own, work_dir=str(work_dir))
    if 'stream' in cfg:
        own_dir = cfg.work_dir
        cfg = resolve_step_config(cfg, 0)
        cfg.work_dir = own_dir
    without_files(cfg.model)
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None
    cfg.default_hooks = {
        name: hook
        for name, hook in cfg.default_hooks.items()
        if name in ('logger', 'coreset', 'feature_cache')
    }
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook')
    return build_runner(cfg)


def kinds(runner: Runner) -> dict[str, list[type]]:
    """Classes of all that a runner has built."""
    data = [runner.train_dataloader, runner.test_dataloader]
    return {
        'model': [type(module) for module in runner.model.modules()],
        'data': [type(loader.dataset) for loader in data],
        'transforms': [type(t) for d in data for t in d.dataset.pipeline.transforms],
        'samplers': [type(loader.batch_sampler) for loader in data],
        'metrics': [type(m) for m in runner.test_evaluator.metrics],
        'optimizer': [type(runner.optim_wrapper), type(runner.optim_wrapper.optimizer)],
        'visualizer': [type(runner.visualizer)],
    }


def built(runner: Runner) -> Runner:
    """Build what MMEngine builds when it is asked for."""
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    return runner


def test_smoke_every_folder_is_tested() -> None:
    assert {base.partition('/')[0] for base in BASES} == {f.name for f in FOLDERS}


@each_base
def test_feature_what_the_file_builds(
    base: str, data: str, roots: dict[str, Path], tmp_path: Path, small: None
) -> None:
    """The same classes, and two iterations of training."""
    mine = tmp_path / 'mine.py'
    mine.write_text(f"_base_ = 'mmdefect::{base}'\n", encoding='utf-8')
    own = options(data, roots[data], tmp_path)
    ours = built(runner_of(mine, tmp_path / 'ours', own))
    found = kinds(ours)
    ours.train()
    plain = built(runner_of(ROOT / 'configs' / base, tmp_path / 'plain', own))
    assert found == kinds(plain)
