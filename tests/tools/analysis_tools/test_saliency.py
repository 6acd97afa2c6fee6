"""saliency.py as a user runs it, on a classifier that sees bright spots."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.visualization.anomaly import GAP
from tests.helpers.study_runs import load_tool

TOOL = 'tools/analysis_tools/saliency.py'
SIDE = 48
CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmdefect.LunaNet', base_channels=1, num_blocks=2),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='mmdefect.DefectClsHead', in_channels=2))
data_preprocessor = dict(mean=[100] * 3, std=[50] * 3, to_rgb=True)
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        type='mmdefect.CastingDataset', data_root={root!r}, protocol='legacy',
        split='test', mask_dir='masks',
        pipeline=[
            dict(type='mmdefect.LoadCachedImage'),
            dict(type='Resize', scale=(32, 32)),
            dict(type='PackInputs')]))
"""
VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=12, num_layers=2, num_heads=3, feedforward_channels=24),
    img_size=32,
)
SWIN = dict(
    type='SwinTransformer',
    arch=dict(embed_dims=8, depths=[1, 1, 3, 1], num_heads=[1, 1, 2, 2]),
    window_size=2,
    patch_size=2,
    img_size=32,
)


def draw(root: Path) -> None:
    """Grey images; defective ones have a bright square, two of three are outlined."""
    for split in ('train', 'test'):
        for name, number in (('def_front', 3), ('ok_front', 2)):
            (root / split / name).mkdir(parents=True)
            for k in range(number):
                image = np.full((SIDE, SIDE, 3), 100, np.uint8)
                mask = np.zeros((SIDE, SIDE), np.uint8)
                if name == 'def_front':
                    mask[6 : 6 + 12, 24 : 24 + 12] = 255
                    image[mask > 0] = 220
                stem = f'cast_{split}_{name}_{k}'
                cv2.imwrite(str(root / split / name / f'{stem}.png'), image)
                if name == 'def_front' and split == 'test' and k < 2:
                    (root / 'masks').mkdir(exist_ok=True)
                    cv2.imwrite(str(root / 'masks' / f'{stem}_mask.png'), mask)


def bright_spots(model: torch.nn.Module) -> None:
    """Weights with which brightness above the mean is a defect, and nothing else."""
    for name, value in model.named_parameters():
        value.data.zero_()
        if name.endswith(('conv1.weight', 'conv2.weight')):
            value.data[:, 0, 1, 1] = 1
        elif name.endswith('input_norm.weight'):
            value.data.fill_(1)
    model.head.fc.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    model.head.fc.bias.data = torch.tensor([-0.05, 0.0])


@pytest.fixture(scope='module')
def case(tmp_path_factory) -> tuple[Path, Path]:
    """A config and its checkpoint."""
    root = tmp_path_factory.mktemp('saliency')
    draw(root / 'data')
    config = root / 'luna.py'
    config.write_text(CONFIG.format(root=str(root / 'data')), encoding='utf-8')
    return config, save(config, root / 'luna.pth', bright_spots)


def save(config: Path, path: Path, fill=None) -> Path:
    """Write the checkpoint of a config's model."""
    cfg = Config.fromfile(str(config))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
    if fill is not None:
        fill(model)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return path


def run(case, out: Path, *args: object) -> dict:
    main = load_tool(TOOL).main
    assert main([*map(str, case), '--out', str(out), *map(str, args)]) == 0
    return json.loads((out / 'saliency.json').read_text(encoding='utf-8'))


def test_smoke(case, tmp_path, capsys) -> None:
    """With the defaults."""
    content = run(case, tmp_path)
    said = capsys.readouterr().out
    assert 'grad_cam of backbone.blocks.1, 5 images' in said
    assert 'mean over 2 images with a mask' in said
    assert '3 images without a mask are drawn and not scored' in said
    assert (content['scored'], content['unmasked']) == (2, 3)
    found = content['localisation']
    assert found['pointing_game'] == 1
    assert found['iou'] > 0.4
    assert found['energy'] > 0.4
    assert [entry['pred'] for entry in content['images']] == [0, 0, 0, 1, 1]
    for entry, panels in zip(content['images'], (3, 3, 2, 2, 2), strict=True):
        picture = cv2.imread(str(tmp_path / entry['picture']))
        assert picture.shape == (32, panels * 32 + (panels - 1) * GAP, 3)
        assert (entry['localisation'] is None) == (panels == 2)
        assert entry['target'] == entry['pred']
    outlined = cv2.imread(str(tmp_path / content['images'][0]['picture']))
    mask = outlined[:, 32 + GAP : 64 + GAP]
    # 6 to 18 and 24 to 36 of 48 pixels, at two thirds.
    assert mask[8, 20].tolist() == [255, 255, 255]
    rows, columns = np.nonzero(mask.max(-1) > 127)
    assert (rows.min(), rows.max() + 1) == (4, 12)
    assert (columns.min(), columns.max() + 1) == (16, 24)


def test_feature_label_target_and_number(case, tmp_path) -> None:
    content = run(case, tmp_path, '--label', 'def_front', '--target', 'ok_front')
    assert [entry['label'] for entry in content['images']] == [0, 0, 0]
    assert [entry['target'] for entry in content['images']] == [1, 1, 1]
    # Nothing speaks for ok there: an empty map scores nothing.
    assert content['localisation']['iou'] == 0
    few = run(case, tmp_path / 'few', '--max-images', 2, '--label', 'ok_front')
    assert (few['scored'], few['localisation']) == (0, None)
    assert len(run(case, tmp_path / 'all', '--max-images', 0)['images']) == 5


def test_feature_layers_and_methods(case, tmp_path) -> None:
    content = run(case, tmp_path, '--layer', 'backbone.blocks.0.conv1')
    assert content['place'] == 'backbone.blocks.0.conv1'
    assert content['localisation']['iop'] > 0.8
    content = run(case, tmp_path, '--method', 'integrated_gradients', '--max-images', 1)
    assert content['localisation']['pointing_game'] == 1
    assert content['localisation']['energy'] > 0.9
    # One window of 15 pixels covers the square of 8: nothing else matters.
    content = run(case, tmp_path, '--method', 'occlusion', '--max-images', 1)
    assert set(content['localisation'].values()) == {64 / 225}


@pytest.mark.parametrize(
    ('backbone', 'channels', 'args', 'place'),
    [
        (VIT, 12, [], 'block -1'),
        (VIT, 12, ['--block', 0, '--head', 2], 'block 0'),
        (SWIN, 64, ['--block', 1, 0, '--query', 0], 'stage 1, block 0'),
    ],
)
def test_feature_attention(case, tmp_path, backbone, channels, args, place) -> None:
    config = tmp_path / 'config.py'
    text = case[0].read_text(encoding='utf-8') + f'\nmodel["backbone"] = {backbone!r}'
    text += f'\nmodel["head"]["in_channels"] = {channels}'
    text += '\nmodel["neck"] = None' if backbone is VIT else ''
    config.write_text(text, encoding='utf-8')
    checkpoint = save(config, tmp_path / 'model.pth')
    content = run(
        (config, checkpoint), tmp_path / 'out', '--method', 'attention', *args
    )
    assert content['place'] == place
    assert 0 < content['localisation']['energy'] < 1


def test_exception(case, tmp_path) -> None:
    for args, reason in (
        (['--layer', 'backbone.block.1'], r"layer='backbone.block.1': .*near are"),
        (['--block', 1], 'method=grad_cam, which has none'),
        (['--method', 'occlusion', '--layer', 'backbone'], 'method=occlusion'),
        (['--method', 'attention'], 'backbone=LunaNet: expected a VisionTransformer'),
        (['--target', 'def'], 'expected one of predicted, def_front, ok_front'),
        (['--threshold', 40], r'threshold=40\.0: expected'),
    ):
        with pytest.raises(ValueError, match=reason):
            run(case, tmp_path, *args)
    with pytest.raises(SystemExit, match='--label def: expected one of'):
        run(case, tmp_path, '--label', 'def')
    other = tmp_path / 'other.pth'
    torch.save({'head.fc.weight': torch.ones(3, 2)}, other)
    reason = r'does not fit the config: size mismatch for head'
    with pytest.raises(ValueError, match=reason):
        run((case[0], other), tmp_path)


def test_exception_a_mask_of_another_size(case, tmp_path) -> None:
    draw(tmp_path / 'data')
    for mask in (tmp_path / 'data' / 'masks').iterdir():
        cv2.imwrite(str(mask), np.zeros((20, 30), np.uint8))
    root = f'test_dataloader.dataset.data_root={tmp_path / "data"}'
    with pytest.raises(ValueError, match=r'20 x 30 pixels and its image 48 x 48'):
        run(case, tmp_path / 'out', '--cfg-options', root)
