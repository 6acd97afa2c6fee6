"""The four tasks in miniature: streams of boxes and of products, classifier, sweep.

Each has more than one epoch, random augmentation and a config file of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmdefect.apis import load_config
from mmdefect.testing import make_toy_cracks, make_toy_neu_det, make_toy_products
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO, load_tool, toy_options

SPLITS = ('train', 'val', 'test')
# What a run writes anew at each start: logs, and notes of when and how long.
_OF_A_START = re.compile(
    r'(^|.*/)(\d{8}_\d{6}(_\d+)?/.*|.*\.log|\.claim|stream\.json|prune\.json|report/.*'
    r'|summary\.json|index\.html|report\.md|result\.json|sweep\.csv|.*\.png)$'
)


def draw(root: Path) -> None:
    """Draw what all tasks learn from."""
    steel = make_toy_neu_det(root / 'NEU-DET', seed=0, per_class=4, size=64)
    convert(('neu_det.py', steel))
    make_toy_products(root / 'products', size=64, train=4, test=5)
    make_toy_cracks(root / 'cracks', seed=0)
    out = ('--out', root / 'patches', '--target-ids', '1')
    convert(('crack_patches.py', root / 'cracks', *out))


def convert(command: tuple[Any, ...]) -> None:
    script, *args = map(str, command)
    if load_tool(f'tools/dataset_converters/{script}').main(args):
        raise RuntimeError(f'{script} failed')


def boxes(root: Path) -> Config:
    """Three kinds of steel defects, then three more."""
    options = {
        **toy_options(root / 'NEU-DET'),
        'stream.base.train_cfg.max_epochs': 2,
        'stream.increment.train_cfg.max_epochs': 2,
        'train_dataloader.batch_size': 4,
    }
    config = 'sd_idd/sd-idd_r18_fpn_toy_neu-det_3+3.py'
    return load_config(REPO / 'configs' / config, cfg_options=options)


def products(root: Path) -> Config:
    """Two products, one after the other, saved every other epoch."""
    options = {
        'stream.protocol': [['cloth'], ['wood']],
        'stream.base.train_cfg.max_epochs': 4,
        'stream.increment.train_cfg.max_epochs': 4,
        'default_hooks.checkpoint.interval': 2,
        'train_dataloader.batch_size': 2,
        **{
            f'{split}_dataloader.dataset.data_root': f'{root}/products/'
            for split in ('train', 'test')
        },
    }
    return load_config(REPO / 'configs/iuf/iuf_toy_3-1x2.py', cfg_options=options)


def cracks(root: Path, config: str, epochs: int) -> Config:
    options = {
        **{f'{s}_dataloader.dataset.data_root': f'{root}/patches/' for s in SPLITS},
        'train_cfg.max_epochs': epochs,
        'param_scheduler': None,
        'train_dataloader.batch_size': 16,
    }
    return load_config(REPO / 'configs/ftl' / config, cfg_options=options)


def classifier(root: Path) -> Config:
    """Cracked or not, with validation, a best epoch and early stopping."""
    cfg = cracks(root, 'resnet18-w16_toy_cracks.py', 3)
    cfg.default_hooks.checkpoint.update(save_best='defect/f1_defective', rule='greater')
    return cfg


def pruning(root: Path) -> Config:
    """The whole network and a smaller one, both trained after the cut."""
    cfg = cracks(root, 'resnet18-w16_pruned_toy_cracks.py', 1)
    cfg.merge_from_dict(
        {
            'load_from': None,
            'mask_dataloader.dataset.data_root': f'{root}/cracks/train',
            'prune.untrained': True,
            'prune.grid.values': [0.3],
            'prune.recovery.bn_images': 64,
        }
    )
    return cfg


TASKS: dict[str, Callable[[Path], Config]] = {
    'detection': boxes,
    'anomaly': products,
    'classifier': classifier,
    'pruning': pruning,
}


def write_config(task: str, root: Path, *, workers: int = 0) -> Path:
    """Write the config of a task below what :func:`draw` has drawn."""
    cfg = TASKS[task](root)
    cfg.train_dataloader.num_workers = workers
    cfg.pop('work_dir', None)
    cfg.pop('cfg_options', None)
    path = root / f'{task}_{workers}.py'
    cfg.dump(str(path))
    return path


def command(task: str, config: Path, work_dir: Path, *, again: bool) -> list[str]:
    """What trains it, and goes on ``again``."""
    given = [str(config), '--work-dir', str(work_dir)]
    if task == 'pruning':  # the same command goes on
        return ['tools/prune.py', *given]
    return ['tools/train.py', *given, *['--resume'] * again]


def differences(expected: Path, found: Path) -> list[str]:
    """What a work dir has otherwise than another, but for times and logs.

    Names of files, each parameter of each checkpoint bit for bit, and the scores.
    """
    names = [
        {
            str(path.relative_to(folder))
            for path in folder.rglob('*')
            if path.is_file() and not _OF_A_START.match(str(path.relative_to(folder)))
        }
        for folder in (expected, found)
    ]
    wrong = [f'{name} is missing' for name in sorted(names[0] - names[1])]
    wrong += [f'{name} is left over' for name in sorted(names[1] - names[0])]
    for name in sorted(names[0] & names[1]):
        if name.endswith('.pth') and not _same_weights(expected / name, found / name):
            wrong.append(f'{name} differs')
        if name.endswith('matrix.json'):
            one, other = (
                json.loads((folder / name).read_text(encoding='utf-8'))
                for folder in (expected, found)
            )
            if one['steps'] != other['steps']:
                wrong.append(f'{name} differs')
    return wrong


def _same_weights(one: Path, other: Path) -> bool:
    a, b = (load_weights(path)['state_dict'] for path in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
