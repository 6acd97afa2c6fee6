from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.datasets.casting.dataset import CastingDataset
from tests.helpers.study_runs import load_tool


def main(args: list[str]) -> int:
    return load_tool('tools/misc/make_toy_data.py').main(args)


def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), '--per-class', '1', '--size', '64']) == 0
    assert (tmp_path / 'NEU-DET/IMAGES/crazing_1.jpg').is_file()
    assert (tmp_path / 'DeepPCB/PCBData/trainval.txt').is_file()
    assert 'tools/dataset_converters/neu_det.py' in capsys.readouterr().out


def test_feature_seed_and_one_dataset(tmp_path: Path) -> None:
    images = []
    for seed in ('0', '1'):
        out = tmp_path / seed
        main([str(out), '--seed', seed, '--per-class', '1', '--dataset', 'neu-det'])
        images.append((out / 'NEU-DET/IMAGES/crazing_1.jpg').read_bytes())
    assert images[0] != images[1]
    assert not (out / 'DeepPCB').exists()


def test_feature_castings_are_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path), '--dataset', 'casting'])
    assert '96 toy castings of 16 parts, already split' in capsys.readouterr().out
    for split, number in (('train', 60), ('val', 12), ('test', 24)):
        dataset = CastingDataset(
            data_root=str(tmp_path / 'casting'), split=split, mask_dir='masks'
        )
        assert len(dataset) == number
