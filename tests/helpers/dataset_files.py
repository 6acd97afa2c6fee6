"""A small toy NEU-DET, what is logged, and the tools that convert datasets."""

from __future__ import annotations

import gc
import json
import runpy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.logging import MMLogger

from mmdefect.converters.neu_det import convert_neu_det
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.testing import make_toy_neu_det, make_toy_products

TOOLS = Path(__file__).parents[2] / 'tools/dataset_converters'


@pytest.fixture(scope='session', autouse=True)
def nothing_old_is_collected() -> None:
    """Each dataset collects garbage when it serialises: seconds with all of mmdet."""
    gc.freeze()


def tool(name: str) -> Callable[..., int]:
    """The main function of a converter, in this process; words of any type."""
    main = runpy.run_path(str(TOOLS / f'{name}.py'))['main']
    return lambda *argv: main([str(word) for word in argv])


def files_in(root: Path) -> dict[str, bytes]:
    """Names of all files below a folder, sorted, and their contents."""
    paths = sorted(p for p in root.rglob('*') if p.is_file())
    return {str(p.relative_to(root)): p.read_bytes() for p in paths}


def infos(dataset: Any) -> list[dict[str, Any]]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """What was logged; MMEngine's logger calls its own handlers only."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope='session')
def toy_products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cloth, dots and marble, 5 training and 5 test images each; read-only."""
    root = tmp_path_factory.mktemp('products')
    return make_toy_products(root, size=32, products=3, train=5, test=5)


@pytest.fixture
def products_copy(toy_products: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(toy_products, tmp_path / 'products'))


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty images of 64x64; read-only, tests that damage files copy it."""
    folder = tmp_path_factory.mktemp('toy') / 'NEU-DET'
    root = make_toy_neu_det(folder, per_class=10, size=64)
    for side, (coco, report) in convert_neu_det(root).items():
        assert not report.errors
        save_json(coco, root / 'coco' / f'{side}.json')
    return root


@pytest.fixture
def toy_copy(toy_root: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(toy_root, tmp_path / 'copy'))


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
