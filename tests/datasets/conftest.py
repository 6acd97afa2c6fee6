"""A small toy NEU-DET, converted once for all data tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.neu_det import convert_neu_det
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.testing import make_toy_neu_det


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images of 64x64; read-only, tests that damage files copy it."""
    root = make_toy_neu_det(
        tmp_path_factory.mktemp('toy') / 'NEU-DET', per_class=10, size=64
    )
    for side, (coco, report) in convert_neu_det(root).items():
        assert not report.errors
        save_json(coco, root / 'coco' / f'{side}.json')
    return root


@pytest.fixture
def changed_coco(
    toy_root: Path, tmp_path: Path
) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Write a changed copy of the toy training file and return its path."""

    def change(edit: Callable[[dict[str, Any]], None]) -> Path:
        coco = json.loads((toy_root / 'coco/train.json').read_text(encoding='utf-8'))
        edit(coco)
        path = tmp_path / 'changed.json'
        save_json(coco, path)
        return path

    return change
