"""Patches with and without a line, and segmented images of lines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pytest
from mmengine.config import Config

if TYPE_CHECKING:  # every test session reads this file
    from mmdefect.pruning.sweep.measure import Sweep
    from mmdefect.pruning.sweep.run import PruneRun

SIDE = 32
PATCHES = {'train': 24, 'val': 12, 'test': 12}


def drawn(rng: np.random.Generator, *, line: bool) -> tuple[np.ndarray, np.ndarray]:
    """A noisy image, dark along a line, and the line's mask."""
    grey = (130 + 15 * rng.standard_normal((SIDE, SIDE))).clip(0, 255).astype(np.uint8)
    mask = np.zeros_like(grey)
    if line:
        left, right = (int(place) for place in rng.integers(4, SIDE - 4, 2))
        for image, value in ((grey, 30), (mask, 1)):
            cv2.line(image, (0, left), (SIDE - 1, right), value, 3)
    return cv2.merge([grey] * 3), mask


@pytest.fixture(scope='session')
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``{train,val,test}/{crack,background}`` and ``segmented``."""
    root = tmp_path_factory.mktemp('lines')
    rng = np.random.default_rng(0)
    for split, count in PATCHES.items():
        for kind in ('crack', 'background'):
            folder = root / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                image, _ = drawn(rng, line=kind == 'crack')
                cv2.imwrite(str(folder / f'{number}.png'), image)
        # Folders alone would be numbered by the alphabet.
        labels = (('crack', 0), ('background', 1))
        listed = (f'{kind}/{n}.png {k}' for kind, k in labels for n in range(count))
        (root / f'{split}.txt').write_text('\n'.join(listed), encoding='utf-8')
    for name in ('images', 'masks'):
        (root / 'segmented' / name).mkdir(parents=True)
    for number in range(4):
        image, mask = drawn(rng, line=True)
        cv2.imwrite(str(root / 'segmented/images' / f'{number}.png'), image)
        cv2.imwrite(str(root / 'segmented/masks' / f'{number}.png'), mask)
    return root


def loader(dataset: dict[str, Any], batch_size: int = 8) -> dict[str, Any]:
    return {
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': dataset,
    }


def patches(root: Path, split: str) -> dict[str, Any]:
    return loader(
        {
            'type': 'CustomDataset',
            'serialize_data': False,  # collects garbage for seconds
            'data_root': str(root),
            'ann_file': f'{split}.txt',
            'data_prefix': split,
            'classes': ['crack', 'background'],
            'pipeline': [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}],
        }
    )


@pytest.fixture
def line_config(lines: Path, tmp_path: Path) -> Config:
    """LUNA with two blocks on lines, pruned in one shot to half of its filters."""
    return make_line_config(lines, tmp_path / 'sweep')


class Finished(NamedTuple):
    """A finished run: nothing is written to its work dir."""

    run: PruneRun
    sweep: Sweep
    said: list[str]


@pytest.fixture(scope='session')
def finished(lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A sweep of a quarter and a half of the filters."""
    from mmdefect.pruning.sweep.run import PruneRun
    from mmdefect.pruning.sweep.stages import run_all

    cfg = make_line_config(lines, tmp_path_factory.mktemp('finished') / 'sweep')
    cfg.prune.grid.update(values=[0.25, 0.5])
    said: list[str] = []
    run = PruneRun(cfg, progress=said.append)
    return Finished(run, run_all(run), said)


@pytest.fixture
def done_config(line_config: Config, finished: Finished) -> Config:
    """The finished run's config, and a copy of its work dir."""
    shutil.copytree(finished.run.work_dir, line_config.work_dir)
    line_config.prune.grid.update(values=[0.25, 0.5])
    return line_config


def make_line_config(lines: Path, work_dir: Path) -> Config:
    segmented = {
        'type': 'mmdefect.PairedMaskDataset',
        'serialize_data': False,
        'data_root': str(lines / 'segmented'),
        'pipeline': [
            {'type': 'LoadImageFromFile'},
            {'type': 'mmdefect.LoadIndexMask'},
            {'type': 'PackInputs', 'algorithm_keys': ('gt_label', 'gt_seg_map')},
        ],
    }
    return Config(
        {
            'default_scope': 'mmpretrain',
            'work_dir': str(work_dir),
            'randomness': {'seed': 0},
            'data_preprocessor': {
                'num_classes': 2,
                'mean': [127.0] * 3,
                'std': [60.0] * 3,
                'to_rgb': True,
            },
            'model': {
                'type': 'ImageClassifier',
                'backbone': {'type': 'mmdefect.LunaNet', 'num_blocks': 2},
                'neck': {'type': 'mmdefect.FlattenNeck'},
                'head': {'type': 'mmdefect.DefectClsHead', 'in_channels': 16 * 64},
            },
            **{f'{split}_dataloader': patches(lines, split) for split in PATCHES},
            'mask_dataloader': loader(segmented, 4),
            'prune': {
                'scorer': {'type': 'mmdefect.SegIoU'},
                'grid': {'kind': 'fraction', 'values': [0.5]},
                'probe': {'c': [0.01, 1.0], 'folds': 2},
                'untrained': True,
            },
        }
    )
