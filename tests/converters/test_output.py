from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.converters.coco import ImageRecord, build_coco
from mmdefect.converters.output import finish
from mmdefect.datasets.boxes.coco_file import read_coco

RECORD = ImageRecord('a.jpg', 20, 10, [('x', (1, 1, 5, 5)), ('y', (6, 1, 9, 9))])


def test_smoke(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted = {'train': build_coco([RECORD], ['x', 'y'], title='train')}
    assert finish(converted, tmp_path / 'coco', steps=[['x'], ['y']]) == 0
    assert read_coco(tmp_path / 'coco/train.json') == converted['train'][0]
    printed = capsys.readouterr().out
    assert 'train: 1 images, 2 boxes (x 1, y 1)' in printed
    assert '| 1 | y | 1 | 1 | 1 (100.0%) | 0 (0.0%) |' in printed


def test_exception_nothing_is_written_after_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted = {
        'train': build_coco([RECORD], ['x', 'y'], title='train'),
        'test': build_coco([RECORD], ['x'], title='test'),
    }
    assert finish(converted, tmp_path / 'coco') == 1
    assert not (tmp_path / 'coco').exists()
    printed = capsys.readouterr().out
    assert "ERROR: a.jpg names the unknown class 'y'" in printed
    assert 'Nothing written' in printed
