"""Tests of tools/model_converters/expand_classes.py, on mmdet's own GFL."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import mmdefect  # noqa: F401  lets mmdet find an NMS
from mmdefect.utils import checkpoint_classes, load_weights

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/model_converters/expand_classes.py'))['main']


def _gfl(num_classes: int) -> torch.nn.Module:
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules()
    cfg = Config.fromfile(ROOT / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py').model
    cfg.backbone.init_cfg = None
    cfg.bbox_head.type, cfg.bbox_head.num_classes = 'mmdet.GFLHead', num_classes
    return MODELS.build(cfg)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a stock GFL's checkpoint of two classes, with a DDP prefix."""
    state = {f'module.{k}': v for k, v in _gfl(2).state_dict().items()}
    meta = {'dataset_meta': {'classes': ('crack', 'spot')}}
    torch.save(
        {'state_dict': state, 'meta': meta, 'optimizer': {}}, tmp_path / 'old.pth'
    )
    return tmp_path / 'old.pth'


def test_smoke(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result loads strictly into stock GFL, with old rows found by name."""
    target = tmp_path / 'new' / 'new.pth'
    main([str(checkpoint), str(target), '--classes', 'spot', 'pit', 'crack'])
    expanded = load_weights(target)
    assert set(expanded) == {'meta', 'state_dict'}
    assert checkpoint_classes(expanded) == ['spot', 'pit', 'crack']
    model = _gfl(3)
    model.load_state_dict(expanded['state_dict'], strict=True)
    old = load_weights(checkpoint)['state_dict']
    head = model.bbox_head.gfl_cls
    weight = old['module.bbox_head.gfl_cls.weight']
    assert torch.equal(head.weight[[2, 0]], weight)
    assert torch.isclose(head.bias[1].sigmoid(), torch.tensor(0.01))
    assert torch.equal(
        expanded['state_dict']['backbone.conv1.weight'],
        old['module.backbone.conv1.weight'],
    )
    assert 'classes taken over: crack, spot; fresh: pit' in capsys.readouterr().out


def test_feature_old_classes(checkpoint: Path, tmp_path: Path) -> None:
    """Names on the command line win, so a checkpoint's classes can be renamed."""
    target = tmp_path / 'new.pth'
    names = ['Crack', 'Spot']
    main([str(checkpoint), str(target), '--classes', *names, '--old-classes', *names])
    assert checkpoint_classes(load_weights(target)) == names


def test_exception_unnamed_classes(tmp_path: Path) -> None:
    torch.save({'state_dict': {'w': torch.ones(1)}}, tmp_path / 'old.pth')
    with pytest.raises(ValueError, match='does not name its classes: give them'):
        main([str(tmp_path / 'old.pth'), str(tmp_path / 'x.pth'), '--classes', 'a'])


def test_exception_not_a_gfl(tmp_path: Path) -> None:
    torch.save({'state_dict': {'w': torch.ones(1)}}, tmp_path / 'old.pth')
    args = ['--classes', 'a', '--old-classes', 'a']
    with pytest.raises(ValueError, match='give the weights of a GFL detector'):
        main([str(tmp_path / 'old.pth'), str(tmp_path / 'x.pth'), *args])
