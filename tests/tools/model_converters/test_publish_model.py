"""Tests of tools/model_converters/publish_model.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from mmdefect.utils import (
    checkpoint_classes,
    file_sha256,
    load_weights,
    state_dict_of,
)

ROOT = Path(__file__).parents[3]
TOOL = runpy.run_path(str(ROOT / 'tools/model_converters/publish_model.py'))
WEIGHT = torch.arange(4.0)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a training checkpoint with everything that must not be published."""
    torch.save(
        {
            'meta': {
                'cfg': 'secret = 1',
                'config': 'import os',
                'dataset_meta': {'classes': ('crack', 'spot')},
                'stream': {'step': 1},
                'experiment_name': 'factory-7',
            },
            'state_dict': {
                'module.head.w': WEIGHT,
                'module.teacher.head.w': WEIGHT,
                'module.ori_model.head.w': WEIGHT,
            },
            'optimizer': {'state': {0: torch.ones(4)}},
            'message_hub': {'log_scalars': {}},
        },
        tmp_path / 'epoch_12.pth',
    )
    return tmp_path / 'epoch_12.pth'


def test_smoke(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TOOL['main']([str(checkpoint), str(tmp_path / 'zoo' / 'gfl.pth')])
    published = Path(capsys.readouterr().out.strip())
    assert list((tmp_path / 'zoo').iterdir()) == [published]
    assert published.name == f'gfl-{file_sha256(published)[:8]}.pth'
    assert load_weights(published)['meta'] == {
        'dataset_meta': {'classes': ('crack', 'spot')},
        'stream': {'step': 1},
    }
    assert set(load_weights(published)) == {'meta', 'state_dict'}
    assert list(state_dict_of(load_weights(published))) == ['head.w']
    content = published.read_bytes()
    assert not any(word in content for word in (b'secret', b'import os', b'factory'))


def test_feature_safetensors(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip('safetensors')
    published = TOOL['publish'](checkpoint, tmp_path / 'gfl.safetensors')
    assert published.name == f'gfl-{file_sha256(published)[:8]}.safetensors'
    loaded = load_weights(published)
    assert torch.equal(state_dict_of(loaded)['head.w'], WEIGHT)
    assert checkpoint_classes(loaded) == ['crack', 'spot']


def test_feature_same_weights_same_name(checkpoint: Path, tmp_path: Path) -> None:
    first = TOOL['publish'](checkpoint, tmp_path / 'gfl.pth')
    assert TOOL['publish'](checkpoint, tmp_path / 'gfl.pth') == first


def test_exception_ending(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r'gfl\.onnx: expected a name that ends with \.pth or \.safe'
    ):
        TOOL['publish'](checkpoint, tmp_path / 'gfl.onnx')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'state_dict': [WEIGHT]}, 'holds no weights, a list as state_dict'),
        ({'state_dict': {'w': WEIGHT / 0}}, 'holds NaN .* 1 tensors, w: '),
        ({'meta': {'CLASSES': 5}}, 'has 5 as the names of its classes'),
        ({'meta': ['crack']}, "holds a list as 'meta': expected a dict"),
    ],
)
def test_exception_content(
    change: dict, message: str, checkpoint: Path, tmp_path: Path
) -> None:
    """Refused with the file named, and nothing is written."""
    torch.save({**load_weights(checkpoint), **change}, checkpoint)
    for suffix in ('.pth', '.safetensors'):
        with pytest.raises(ValueError, match=rf'epoch_12\.pth {message}'):
            TOOL['publish'](checkpoint, tmp_path / f'gfl{suffix}')
    assert list(tmp_path.iterdir()) == [checkpoint]
