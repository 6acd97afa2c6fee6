"""The examples of docs/development.md do what the page says, on toy objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from torch import nn

from mmdefect.models.detection.distill.context import DenseOutputs, DistillContext
from mmdefect.registry import DATASETS, HOOKS, METRICS, MODELS
from tests.conftest import REPO

PAGE = (REPO / 'docs/development.md').read_text(encoding='utf-8')
# Path in its first line -> a block.
BLOCKS = {
    code.partition('\n')[0].removeprefix('# '): code
    for code in re.findall(r'^```python\n(.*?)^```$', PAGE, re.DOTALL | re.MULTILINE)
}


@pytest.fixture
def read() -> Iterator[Any]:
    """Run a block; what it registers is gone afterwards."""
    registries = (DATASETS, HOOKS, METRICS, MODELS)
    before = [dict(registry._module_dict) for registry in registries]

    def read(path: str) -> None:
        exec(compile(BLOCKS[path], path, 'exec'), {'__name__': path})

    with DefaultScope.overwrite_default_scope('mmdet'):
        yield read
    for registry, known in zip(registries, before, strict=True):
        registry._module_dict.clear()
        registry._module_dict.update(known)


def test_smoke_every_block_is_run_here() -> None:
    source = Path(__file__).read_text(encoding='utf-8')
    assert len(BLOCKS) == 5
    assert [path for path in BLOCKS if source.count(f"'{path}'") != 1] == []


def test_feature_rooms_are_there() -> None:
    """And every folder of the package is in the table."""
    table = PAGE.partition('## Rooms')[2].partition('`tools/`')[0]
    cells = re.findall(r'^\| (`.*?`) \|', table, re.MULTILINE)
    named = re.findall(r'`([\w.]+)/?`', ' '.join(cells))
    folders = {path.parent.name for path in (REPO / 'mmdefect').glob('*/__init__.py')}
    assert folders <= set(named)
    assert [name for name in named if not (REPO / 'mmdefect' / name).exists()] == []


def test_feature_dataset(read, tmp_path: Path) -> None:
    read('mmdefect/datasets/boxes/my_line.py')
    assert cv2.imwrite(str(tmp_path / '1.png'), np.zeros((20, 30, 3), np.uint8))
    box = {'id': 1, 'image_id': 1, 'category_id': 2, 'bbox': [1, 2, 9, 8], 'area': 72}
    coco = {
        'images': [{'id': 1, 'file_name': '1.png', 'width': 30, 'height': 20}],
        'annotations': [box],
        'categories': [{'id': 1, 'name': 'scratch'}, {'id': 2, 'name': 'dent'}],
    }
    (tmp_path / 'train.json').write_text(json.dumps(coco), encoding='utf-8')
    dataset = DATASETS.build(
        {
            'type': 'mmdefect.MyLineDataset',
            'data_root': f'{tmp_path}/',
            'ann_file': 'train.json',
            'pipeline': [],
        }
    )
    assert dataset.metainfo['classes'] == ('scratch', 'dent')
    (instance,) = dataset.get_data_info(0)['instances']
    assert instance['bbox_label'] == 1


def context(student_gap: float) -> DistillContext:
    """One image, four priors, two old classes and a new one."""
    teacher = torch.zeros(1, 4, 2)
    new = torch.zeros(1, 4, 1)
    student = torch.cat([teacher + student_gap, new], dim=2).requires_grad_()
    boxes = torch.zeros(1, 4, 4, 17)
    return DistillContext(
        teacher=DenseOutputs(classes=teacher, boxes=boxes, features=()),
        student=DenseOutputs(classes=student, boxes=boxes, features=()),
        priors=torch.zeros(4, 4),
        strides=torch.full((4,), 8.0),
        level_sizes=(4,),
        valid=torch.ones(1, 4, dtype=torch.bool),
        gt_boxes=(torch.zeros(0, 4),),
    )


def test_feature_method(read, tmp_path: Path) -> None:
    """Its loss is 0 where the student says what the teacher says; its config builds."""
    read('mmdefect/models/detection/distill/old_scores.py')
    path = tmp_path / 'old_scores.py'
    text = BLOCKS['configs/_base_/methods/old_scores.py']
    base = (REPO / 'configs/_base_/methods/new_only.py').as_posix()
    path.write_text(text.replace('./new_only.py', base), encoding='utf-8')
    model = Config.fromfile(path).method.model
    assert model.type == 'mmdefect.IncrementalGFL'
    method = MODELS.build(model.distill)
    found = context(0.0)
    losses = method(found)
    assert losses['loss_dist_scores'].item() == 0
    assert losses['priors_scores'].item() == 4
    losses = method(context(1.0))
    gap = torch.tensor(1.0).sigmoid() - 0.5
    assert losses['loss_dist_scores'].item() == pytest.approx(gap.item())


def test_feature_hook(read) -> None:
    read('mmdefect/engine/hooks/weight_length.py')
    hook = HOOKS.build({'type': 'mmdefect.WeightLengthHook'})
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 3)
    nn.init.constant_(model.bias, 4)
    hub = MessageHub('weight_length')
    hook.after_train_iter(SimpleNamespace(model=model, message_hub=hub), 0)
    assert hub.get_scalar('train/weight_length').current() == pytest.approx(5)


def test_feature_metric(read) -> None:
    read('mmdefect/evaluation/missed_metric.py')
    metric = METRICS.build({'type': 'mmdefect.MissedMetric'})
    pairs = [(0, 0), (0, 1), (0, 0), (0, 0), (1, 0)]
    samples = [{'gt_label': gt, 'pred_label': pred} for gt, pred in pairs]
    metric.process(None, samples)
    assert metric.evaluate(size=5) == {'defect/missed': 0.25}
