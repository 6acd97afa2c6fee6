"""One door from a config, or a work dir, to a model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.apis import build_model
from mmdefect.utils.checkpoint import load_weights
from tests.helpers.old_work_dir import ARCHIVE, CONFIG

CLASSIFIER = {
    'default_scope': 'mmpretrain',
    'model': {
        'type': 'ImageClassifier',
        'backbone': {'type': 'mmdefect.LunaNet', 'base_channels': 1, 'num_blocks': 2},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'mmdefect.DefectClsHead', 'in_channels': 2},
    },
    'data_preprocessor': {'mean': [100] * 3, 'std': [50] * 3, 'to_rgb': True},
}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(Config(CLASSIFIER).model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'x.pth')
    return tmp_path / 'x.pth'


@pytest.fixture(scope='module')
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream whose second step was killed, moved to another folder."""
    folder = tmp_path_factory.mktemp('old')
    shutil.unpack_archive(ARCHIVE, folder, filter='data')
    return folder / 'work'


def test_smoke_config(weights: Path, tmp_path: Path) -> None:
    cfg = Config({**CLASSIFIER, 'load_from': str(weights)})
    cfg.dump(tmp_path / 'config.py')
    before = cfg.pretty_text
    for model in (
        build_model(cfg),
        build_model(cfg, weights),
        build_model(tmp_path / 'config.py'),
    ):
        assert not any(part.training for part in model.modules())
        assert model.data_preprocessor.mean.flatten().tolist() == [100.0] * 3
        for name, value in load_weights(weights)['state_dict'].items():
            assert torch.equal(model.state_dict()[name], value)
    assert cfg.pretty_text == before
    assert build_model(cfg, device='meta').head.fc.weight.is_meta


def test_feature_work_dir_and_stream(work: Path) -> None:
    """The recorded config is read, not run; a stream's own config gives the same."""
    path = work / 'step_0/epoch_1.pth'
    one = build_model(work)
    assert one.bbox_head.num_classes == 3
    other = build_model(CONFIG, path)  # the step that the checkpoint names
    for name, value in load_weights(path)['state_dict'].items():
        assert torch.equal(one.state_dict()[name], value)
        assert torch.equal(other.state_dict()[name], value)


def test_exception_weights(weights: Path) -> None:
    cfg = Config(CLASSIFIER)
    with pytest.raises(ValueError, match=r'^checkpoint=None: expected a file'):
        build_model(cfg)
    with pytest.raises(ValueError, match=r'^step=1: expected a config with a stream'):
        build_model(cfg, weights, step=1)
    loaded = load_weights(weights)
    del loaded['state_dict']['head.fc.bias']
    torch.save(loaded, weights)
    with pytest.raises(
        ValueError, match=r'x\.pth does not fit .*lacks 1 of .*head\.fc\.bias'
    ):
        build_model(cfg, weights)


def test_exception_work_dir(work: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'^step=1: expected one of .* \[0\] of'):
        build_model(work, step=1)
    with pytest.raises(ValueError, match='step=7: expected'):
        build_model(CONFIG, work / 'step_0/epoch_1.pth', step=7)
    with pytest.raises(FileNotFoundError, match=r'holds no stream\.json'):
        build_model(tmp_path)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        build_model(tmp_path / 'none.py')
    moved = tmp_path / 'moved'
    shutil.copytree(work, moved)
    (config,) = (moved / 'step_0').glob('*.py')
    text = config.read_text(encoding='utf-8').replace("'FPN'", "'os.system'")
    config.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=r"builds 'os\.system'"):
        build_model(moved)
    config.unlink()
    with pytest.raises(FileNotFoundError, match='expected the config of step 0'):
        build_model(moved)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (None, r'^the config has model=null: expected model=dict'),
        ({'type': 'Nope'}, r"model\.type='Nope', which cannot be built \(KeyError: No"),
        ({'backbone': {}}, r'model\.type=null, which cannot be built'),
        ({'type': 'mmdefect.LunaNet', 'odd': 1}, r"TypeError: .*argument 'odd'\)"),
    ],
)
def test_exception_no_such_model(model: Any, message: str, weights: Path) -> None:
    cfg = Config({'default_scope': 'mmpretrain', 'model': model})
    with pytest.raises(ValueError, match=message):
        build_model(cfg, weights)
