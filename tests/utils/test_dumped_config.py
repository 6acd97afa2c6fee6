"""What Config.dump writes is read as data; anything else in a work dir is not run."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmdefect.utils.dumped_config import check_types, read_dumped_config
from tests.conftest import REPO

CONFIGS = (
    'gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py',
    'iuf/iuf_toy_3-1x2.py',
    'casting/vit-b16_legacy_casting.py',
)


@pytest.mark.parametrize('name', CONFIGS)
def test_smoke_equals_mmengine(name: str, tmp_path: Path) -> None:
    Config.fromfile(REPO / 'configs' / name).dump(tmp_path / 'dumped.py')
    expected = Config.fromfile(tmp_path / 'dumped.py').to_dict()
    assert read_dumped_config(tmp_path / 'dumped.py').to_dict() == expected


def test_feature_every_kind_of_value(tmp_path: Path) -> None:
    content = {
        'numbers': [1, -2.5, 1e-9],
        'nested': {'1': {'odd key': (1, (2, [3]))}, 'none': None, 'true': True},
        'words': 'Rührei "\'\n',
        'empty': {'list': [], 'tuple': ()},
    }
    Config(content).dump(tmp_path / 'dumped.py')
    assert read_dumped_config(tmp_path / 'dumped.py').to_dict() == content


@pytest.mark.parametrize(
    'text',
    [
        "import os\nos.system('touch {0}')\n",
        "seed = open('{0}', 'w').close()\n",
        "seed = dict(a=[__import__('os').system('touch {0}')])\n",
        "seed = [open('{0}', 'w') for _ in 'a']\n",
        "seed = dict(**open('{0}', 'w'))\n",
        "seed = f'{{open(\\'{0}\\', \\'w\\')}}'\n",
        'seed.x = 1\n',
        'seed = other = 1\n',
        'seed = (',
        '_base_ = {{}}\nseed = (1).bit_length\n',
        'seed = ' + '[' * 5000,
        'seed = {{[]: 1}}\n',
    ],
)
def test_exception_nothing_is_run(text: str, tmp_path: Path) -> None:
    path, ran = tmp_path / 'config.py', tmp_path / 'ran'
    path.write_text(text.format(ran), encoding='utf-8')
    message = r'config\.py is no config as a training writes it \(.*are not run; put'
    with pytest.raises(ValueError, match=message):
        read_dumped_config(path)
    assert not ran.exists()


def test_exception_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'there is no config .*nowhere\.py'):
        read_dumped_config(tmp_path / 'nowhere.py')


@pytest.mark.parametrize(
    'kind', ['os.system', 'mmengine.call_command', 'mmdet.apis.x', 'a b', 'mmdefect.']
)
def test_exception_types_of_no_registry(kind: str) -> None:
    """MMEngine would import and call them."""
    check_types({'type': 'mmpretrain.X', 'list': [{'type': 'Y'}]}, 'x.py')
    with pytest.raises(ValueError, match=rf"^x\.py builds '{kind}': expected types of"):
        check_types({'type': 'A', 'neck': [{'type': kind}]}, 'x.py')
