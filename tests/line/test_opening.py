"""Whatever looks in a line looks alike: in the tiles of the calibration, or whole.

The spot is one pixel, which the network's input of a whole image leaves out, and that
of a tile does not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from mmdefect.apis import DefectInferencer
from mmdefect.app.desk import Desk
from mmdefect.cli.main import main
from mmdefect.deploy.package import read_package
from mmdefect.deploy.runtime import open_package
from mmdefect.deploy.tiling import TiledBackend, calibrated_tile
from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from mmdefect.line.opening import open_version
from mmdefect.line.promote import promote
from mmdefect.line.reference import of_images
from mmdefect.serving.app import create_app
from mmdefect.serving.models import Models, _trial
from mmdefect.serving.server import _opener, run
from tests.helpers.hand_package import hand_package

TILE = {'size': 32, 'overlap': 8}


def plate(path: Path, spot: int) -> Path:
    pixels = np.full((64, 64, 3), 20, np.uint8)
    pixels[2, 1] = spot
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture(scope='module')
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('packages') / 'tiled'
    calibration = {'calibration': {'tile': TILE}}
    known = {'thresholds': {'bottle': 0.5}, 'calibrated': True}
    hand_package(folder, 'maps', about=calibration, **known)
    return folder


@pytest.fixture(scope='module')
def line(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Its version finds spots in tiles only."""
    root = tmp_path_factory.mktemp('line')
    line = Line.create(root / 'line')
    for number in range(3):
        plate(root / f'exam/bottle/test/good/{number}.png', 20 + number)
        plate(root / f'exam/bottle/test/spot/{number}.png', 240 + number)
    add_exam(line, 'spots', folder=root / 'exam')
    promote(line, package)
    return line


@pytest.fixture
def spot(tmp_path: Path) -> Path:
    return plate(tmp_path / 'photos/spot.png', 250)


def test_smoke_as_it_was_calibrated(package: Path, spot: Path, tmp_path: Path) -> None:
    assert DefectInferencer(package).predict_one(spot).decision == 'ok'
    opened = open_version(package)
    assert opened.predict_one(spot).decision == 'defective'
    assert opened.spec.calibrated
    hand_package(tmp_path / 'whole', 'maps')
    specs = (read_package(folder).spec for folder in (package, tmp_path / 'whole'))
    assert [*map(calibrated_tile, specs)] == [TILE, None]


def test_feature_exams_and_the_page(line: Line, spot: Path) -> None:
    row = next(line.log.rows(kind='promotion'))
    assert row.body['exams']['spots']['passed'] is True
    assert Desk(line.folder).model().predict_one(spot).decision == 'defective'
    (bottle,) = of_images(line, spot, origin='photos').products
    assert bottle.decisions == {'defective': 1}


def test_feature_decisions(
    line: Line, spot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['predict', '--line', str(line.folder), str(spot)]) == 0
    assert 'defective' in capsys.readouterr().out
    assert next(line.log.rows(newest=True)).decision == 'defective'


@pytest.mark.parametrize(('of_line', 'calibrated'), [(True, True), (False, False)])
def test_feature_a_server(
    package: Path, spot: Path, of_line: bool, calibrated: bool
) -> None:
    """Without a line images are whole, and thresholds of tiles mean nothing."""
    model = _opener('auto', 'cpu', None, of_line=of_line)(package)
    (found,) = model([cv2.imread(str(spot))])
    assert (found.score > 0.5) == of_line
    assert model.spec.calibrated == calibrated


def test_exception_more_tiles_than_are_looked_at(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault of an image, not of the server."""
    models = Models(
        [], open_model=_opener('auto', 'cpu', None, of_line=True), line=line
    )
    monkeypatch.setattr('mmdefect.deploy.tiling.MOST', 1)
    with TestClient(create_app(models)) as to:
        content = plate(tmp_path / 'large.png', 30).read_bytes()
        answer = to.post('/predict', files={'file': ('a.png', content)})
    assert answer.status_code == 422
    assert 'expected at most 1 tiles an image' in answer.json()['error']


def test_feature_a_graph_of_one_size(package: Path, tmp_path: Path) -> None:
    """It is tried with an image of that size, not of another."""
    backend = open_package(package)
    given = backend.package
    backend.package = replace(given, input=replace(given.input, size=(48, 40)))
    assert _trial(TiledBackend(backend, **TILE)).shape == (40, 48, 3)


@pytest.mark.parametrize('look', [{'tile': TILE}, {'bits': 12}])
def test_exception_no_other_looks_by_python(line: Line, look: dict) -> None:
    assert run([], line=line, **look) == 2


@pytest.mark.parametrize('command', ['predict', 'serve'])
@pytest.mark.parametrize('given', [['--tile', '64,16'], ['--bits', '12']])
def test_exception_what_no_exam_has_seen(
    line: Line,
    spot: Path,
    command: str,
    given: list[str],
    capsys: pytest.CaptureFixture,
) -> None:
    before = line.log.count()
    inputs = [str(spot)] if command == 'predict' else []
    assert main([command, '--line', str(line.folder), *inputs, *given]) != 0
    said = capsys.readouterr().err
    assert f'{" ".join(given)}: expected none with --line' in said
    assert said.count('\n') == 1
    assert line.log.count() == before
