"""Small defects in large photographs: cut, train, choose thresholds, predict in tiles.

Slow: a detector is trained for some hundred iterations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.apis import DefectInferencer, build_runner, load_config
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.tiling import Tiling
from tests.conftest import REPO, load_tool
from tests.helpers.blob_backend import spotted_plate

CONFIG = REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
SIZE, OVERLAP = 256, 64


def scattered(number: int, size: tuple[int, int], seed: int) -> list[tuple[int, int]]:
    """Corners of spots of 20 pixels that keep apart."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    for x, y in rng.integers(0, (size[0] - 20, size[1] - 20), (number, 2)).tolist():
        if all(max(abs(x - a), abs(y - b)) > 45 for a, b in found):
            found.append((x, y))
    return found


def photographs(root: Path, *, number: int = 4) -> Path:
    """Plates of 1200 x 900 pixels and their COCO file."""
    images: list[dict] = []
    boxes: list[dict] = []
    for k in range(1, number + 1):
        pixels, truth = spotted_plate(scattered(40, (1200, 900), k), size=(1200, 900))
        cv2.imwrite(str(root / f'{k}.png'), pixels)
        images.append({'id': k, 'file_name': f'{k}.png', 'width': 1200, 'height': 900})
        for x, y, _, _ in truth.tolist():
            box = {'image_id': k, 'category_id': 1, 'bbox': [x, y, 20, 20]}
            boxes.append({'id': len(boxes) + 1, 'area': 400, 'iscrowd': 0, **box})
    content = {'images': images, 'annotations': boxes}
    path = root / 'plates.json'
    path.write_text(
        json.dumps({**content, 'categories': [{'id': 1, 'name': 'spot'}]}),
        encoding='utf-8',
    )
    return path


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that has learned from tiles, with a threshold."""
    root = tmp_path_factory.mktemp('plates')
    args = [photographs(root), '--out', root / 'tiles', '--val-share', 0.25]
    args += ['--size', SIZE, '--overlap', OVERLAP]
    assert (
        load_tool('tools/dataset_converters/tiles.py').main(list(map(str, args))) == 0
    )
    data: dict[str, Any] = {
        'type': 'mmdefect.DefectDetDataset',
        'data_root': f'{root}/tiles/',
    }
    cfg = load_config(CONFIG, work_dir=str(root / 'work'))
    for split in ('train', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.dataset.update(data)
        loader.dataset.metainfo = {'classes': ('spot',)}
        for step in loader.dataset.pipeline:
            if step['type'] == 'Resize':
                step['scale'] = (SIZE, SIZE)
    hook = {
        'type': 'mmdefect.BoxCalibrationHook',
        'costs': (5, 1),
        'dataloader': {
            'dataset': {**cfg.test_dataloader.dataset, 'ann_file': 'val.json'}
        },
    }
    cfg.merge_from_dict(
        {
            'train_dataloader.dataset.ann_file': 'train.json',
            'train_dataloader.batch_size': 8,
            'model.bbox_head.num_classes': 1,
            'train_cfg.max_epochs': 10,
            'val_dataloader': None,
            'val_cfg': None,
            'val_evaluator': None,
            'default_hooks.thresholds': hook,
            'default_hooks.logger.interval': 10,
        }
    )
    build_runner(cfg).train()
    return root / 'work'


def hits(found: Prediction, truth: np.ndarray) -> np.ndarray:
    """How many of the boxes that are called lie on each defect, (N,)."""
    boxes = found.boxes[found.is_defect]
    low = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    # A box that is a little off is a hit, and would be a double.
    return (shared >= 0.3 * 400).sum(axis=0)


@pytest.mark.slow
def test_feature_tiles_find_what_resizing_loses(work_dir: Path) -> None:
    tiles = Tiling(size=SIZE, overlap=OVERLAP).tiles(4000, 3000)
    spots = [(x2 - 10, y2 - 120) for _, _, x2, y2 in tiles[3:200:9] if x2 < 4000]
    spots += [(x2 - 15, y2 - 6) for _, _, x2, y2 in tiles[2:200:8] if y2 < 3000]
    spots += scattered(60, (4000, 3000), 99)
    apart: list[tuple[int, int]] = []
    for x, y in spots:
        inside = x <= 3980 and y <= 2980
        if inside and all(max(abs(x - a), abs(y - b)) > 45 for a, b in apart):
            apart.append((x, y))
    image, truth = spotted_plate(apart, size=(4000, 3000))
    tile = {'size': SIZE, 'overlap': OVERLAP}
    tiled = DefectInferencer(work_dir, tile=tile, batch_size=8, device='cpu')
    assert tiled.spec.calibrated
    whole = DefectInferencer(work_dir, device='cpu')
    found = {n: m.predict_one(image) for n, m in (('resized', whole), ('tiled', tiled))}
    recall = {name: float((hits(p, truth) > 0).mean()) for name, p in found.items()}
    doubles = int((hits(found['tiled'], truth) > 1).sum())
    called = int(found['tiled'].is_defect.sum())
    print(f'recall of {len(truth)} defects {recall}, {doubles} double, {called} called')
    assert recall['tiled'] >= 0.95
    assert recall['tiled'] >= 2 * recall['resized']
    assert doubles == 0
    assert found['tiled'].decision == 'defective'
