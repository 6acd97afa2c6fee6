"""Toy trainings of minutes: int8 needs trained weights, and labelled images."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdefect.apis.config import load_config
from mmdefect.apis.runner import build_runner
from mmdefect.converters.neu_det import convert_neu_det
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.engine.run_config import name_apart
from mmdefect.testing import make_toy_casting, make_toy_neu_det

CASTING = 'casting/mobilenet-v2_casting.py'
GFL = 'gfl/gfl_r18_fpn_toy_neu-det.py'
GFL_SIDE = 96


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A training, and images to calibrate and to measure on.

    Attributes:
        work_dir: Of the training.
        calibration: Folder of training images.
        labelled: As :func:`mmdefect.export.int8.quantise` takes it.
        labelled_images: The same.
    """

    work_dir: Path
    calibration: Path
    labelled: Path
    labelled_images: Path | None = None


def train_casting(
    configs: Path, folder: Path, *, side: int, parts: int, epochs: int
) -> Toy:
    """MobileNetV2 from scratch on drawn castings, measured on other parts."""
    root = make_toy_casting(folder / 'casting', parts=parts, copies=6, size=side)
    others = make_toy_casting(folder / 'others', parts=parts, size=side, seed=1)
    cfg = load_config(configs / CASTING)
    cfg.model.backbone.init_cfg = None
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.num_workers = 0
        loader.dataset.update(data_root=str(root), protocol='legacy')
        for step in loader.dataset.pipeline:
            if step['type'] == 'Resize':
                step['scale'] = (side, side)
    cfg.train_dataloader.batch_size = 16
    # From scratch, not from ImageNet.
    cfg.optim_wrapper.optimizer.lr = 2e-3
    for name in ('early_stopping', 'ema'):
        cfg.default_hooks[name] = None
    _train(cfg, folder / 'casting_run', epochs)
    return Toy(
        work_dir=folder / 'casting_run',
        calibration=root / 'train',
        # Enough that one image is less than half a point.
        labelled=others / 'train',
    )


def train_gfl(configs: Path, folder: Path, *, per_class: int, epochs: int) -> Toy:
    """GFL on MobileNetV2 from scratch on drawn steel."""
    root = make_toy_neu_det(folder / 'neu-det', per_class=per_class, size=GFL_SIDE)
    with contextlib.redirect_stdout(io.StringIO()):
        converted = convert_neu_det(root)
    for split, (coco, _) in converted.items():
        save_json(coco, root / 'coco' / f'{split}.json')
    cfg = load_config(configs / GFL)
    cfg.model.backbone = {
        'type': 'mmdefect.DetectionMobileNetV2',
        'out_indices': (2, 4, 6),
        'norm_eval': False,
    }
    cfg.model.neck.in_channels = [32, 96, 320]
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{root}/'
    for name in ('val_evaluator', 'test_evaluator'):
        cfg[name].ann_file = f'{root}/coco/test.json'
    _train(cfg, folder / 'gfl_run', epochs)
    return Toy(
        work_dir=folder / 'gfl_run',
        calibration=root / 'IMAGES',
        labelled=root / 'coco/test.json',
        labelled_images=root,
    )


def _train(cfg: Config, work_dir: Path, epochs: int) -> None:
    cfg.work_dir = str(work_dir)
    name_apart(cfg, work_dir.name)
    cfg.randomness = {'seed': 0}
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    for schedule in cfg.param_scheduler:
        if schedule['type'] == 'CosineAnnealingLR':
            schedule['end'] = epochs
    runner: Any = build_runner(cfg)
    runner.train()
