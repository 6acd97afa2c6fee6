from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.neu_det import convert_neu_det
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.testing import make_toy_neu_det
from tests.helpers.study_runs import ROOT, load_tool

TOOL = 'tools/analysis_tools/browse_dataset.py'
CONFIG = """
data_root = '{root}/'
dataset = dict(
    type='mmdefect.NEUDETDataset', data_root=data_root, ann_file='coco/train.json',
    pipeline=[
        dict(type='mmdefect.LoadCachedImage'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='PackDetInputs')])
train_dataloader = dict(dataset=dataset)
default_scope = 'mmdet'
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    root = make_toy_neu_det(tmp_path / 'toy', per_class=3, size=64)
    save_json(convert_neu_det(root)['train'][0], root / 'coco/train.json')
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=root), encoding='utf-8')
    return path


def test_smoke(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = load_tool(TOOL).main
    out = tmp_path / 'out'
    assert main([str(config), '--output-dir', str(out), '--max-images', '3']) == 0
    images = sorted(out.iterdir())
    assert len(images) == 3
    # The toy is grey: colour can only come from the boxes drawn.
    pixels = np.asarray(Image.open(images[0]).convert('RGB')).astype(int)
    assert np.ptp(pixels, axis=-1).max() > 50
    keep = 'train_dataloader.dataset.keep_classes=[scratches]'
    assert main([str(config), '--output-dir', str(out), '--cfg-options', keep]) == 0
    assert '2 of 2 images' in capsys.readouterr().out


def test_feature_step_of_a_stream(config: Path, tmp_path: Path) -> None:
    main = load_tool(TOOL).main
    stream = ROOT / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
    root = f'train_dataloader.dataset.data_root={tmp_path}/toy/'
    out = tmp_path / 'out'
    for step, kinds in enumerate(['crazing', 'scratches']):
        target = out / str(step)
        options = ['--output-dir', str(target), '--cfg-options', root]
        assert main([str(stream), '--step', str(step), *options]) == 0
        assert any(path.stem.startswith(kinds) for path in target.iterdir())
    # Three images a kind are too few for one that mixes kinds.
    assert not any(path.stem.startswith('patches') for path in target.iterdir())
