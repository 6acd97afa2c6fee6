"""Real packages behind the server: ONNX Runtime and OpenVINO, many threads at once.

What is slow here exports a detector first, which takes ten seconds and more.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.apis import DefectInferencer
from mmdefect.deploy.runtime import open_package
from mmdefect.serving.models import Models
from tests.helpers.hand_package import hand_package
from tests.helpers.served import client, encoded, served

RUNTIMES = ('onnxruntime', 'openvino')
SETTINGS: dict[str, dict[str, Any]] = {
    'labels': {'defective': 'red', 'thresholds': {'red': 0.34}, 'calibrated': True},
    'maps': {'default_threshold': 0.5},
    'boxes': {'thresholds': {'dent': 0.45, 'crack': 0.5}},
}


def pictures(number: int, size: tuple[int, int] = (23, 17)) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    top = random.integers(20, 256, (number, 1, 1, 3))
    return list(np.uint8(random.random((number, *size, 3)) * top))


def answers(url: str, model: str, images: list[np.ndarray]) -> list[dict]:
    """Of 8 threads, each with a connection of its own, in the order of the images."""
    kept = threading.local()

    def ask(image: np.ndarray) -> dict:
        if not hasattr(kept, 'client'):
            kept.client = client(url)
        upload = {'file': ('a.png', encoded(image))}
        answer = kept.client.post(f'/predict?model={model}', files=upload)
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()['predictions']
        return found

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(ask, images))


def check_right(found: list[dict], package: Path, images: list[np.ndarray]) -> None:
    """As the inferencer says of the images, which were asked for in turn."""
    known = [right.to_dict() for right in DefectInferencer(package)(images)]
    for number, one in enumerate(found):
        wanted = {**known[number % len(known)], 'source': 'a.png'}
        assert one.keys() == wanted.keys()
        assert one['decision'] == wanted['decision']
        assert one['score'] == pytest.approx(wanted['score'], abs=1e-5)
        assert [box['name'] for box in one.get('boxes', [])] == [
            box['name'] for box in wanted.get('boxes', [])
        ]
        for mine, yours in zip(
            one.get('boxes', []), wanted.get('boxes', []), strict=True
        ):
            assert mine['box'] == pytest.approx(yours['box'], abs=0.1)
            assert mine['score'] == pytest.approx(yours['score'], abs=1e-4)


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_feature_many_threads(tmp_path: Path, runtime: str) -> None:
    for task, spec in SETTINGS.items():
        hand_package(tmp_path / task, task, **spec)
    folders = [tmp_path / task for task in SETTINGS]
    opener = partial(open_package, backend=runtime, threads=1)
    images = pictures(24)
    with served(Models(folders, open_model=opener), concurrency=4) as url:
        for task, folder in zip(SETTINGS, folders, strict=True):
            found = answers(url, task, images)
            check_right(found, folder, images)
            assert {one['decision'] for one in found} == {'ok', 'defective'}
        assert client(url).get('/models').json()['models'][0]['backend'] == runtime


@pytest.mark.parametrize(('server', 'why'), [(None, None), (12, 'values up to 9000')])
def test_feature_bits_as_the_model_was_taught(
    tmp_path: Path, server: int | None, why: str | None
) -> None:
    """Of 16-bit images; whoever starts the server may know better."""
    hand_package(tmp_path / 'maps', 'maps', default_threshold=0.5, about={'bits': 14})
    content = encoded(np.full((17, 23), 9000, np.uint16))
    (tmp_path / 'a.png').write_bytes(content)
    right = DefectInferencer(tmp_path / 'maps').predict_one(tmp_path / 'a.png')
    models = Models([tmp_path / 'maps'], open_model=open_package)
    with served(models, bits=server) as url:
        answer = client(url).post('/predict', files={'file': ('a.png', content)}).json()
    if why is not None:
        assert why in answer['error']
        return
    (found,) = answer['predictions']
    assert found['decision'] == right.decision == 'defective'
    assert found['score'] == pytest.approx(right.score, abs=1e-5)
    assert right.score == pytest.approx(9000 / (2**14 - 1), abs=0.002)


def test_feature_a_package_is_replaced(tmp_path: Path) -> None:
    """Half copied, it is refused and the old one goes on."""
    folder = tmp_path / 'line'
    hand_package(folder, 'labels', defective='red', thresholds={'red': 0.999})
    (image,) = pictures(1)
    with served(Models([folder], open_model=open_package)) as url:
        assert answers(url, 'line', [image])[0]['decision'] == 'ok'
        graph = (folder / 'model.onnx').read_bytes()
        (folder / 'model.onnx').write_bytes(graph[:-9])
        answer = client(url).post('/reload')
        assert answer.status_code == 422
        assert 'model.onnx' in answer.json()['error']
        assert answers(url, 'line', [image])[0]['decision'] == 'ok'
        hand_package(folder, 'labels', defective='red', thresholds={'red': 0.001})
        assert client(url).post('/reload').json() == {'reloaded': ['line']}
        assert answers(url, 'line', [image])[0]['decision'] == 'defective'


@pytest.fixture(scope='module')
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """The toy GFL as a package, and images of three sizes."""
    import torch

    from mmdefect.export.write import export
    from tests.helpers import exported_toys as toys

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('exported')
    cfg, weights = toys.detector(folder)
    sizes = [(96, 96), (150, 70), (60, 130)]
    images = [image for size in sizes for image in toys.pictures(4, size, seed=3)]
    out = folder / 'gfl'
    return export(cfg, out, weights=weights, images=images[:6], threshold=0.06), images


@pytest.mark.slow
@pytest.mark.parametrize('runtime', RUNTIMES)
def test_feature_an_exported_detector(
    exported: tuple[Path, list[np.ndarray]], runtime: str
) -> None:
    """200 requests of 8 threads, images of several sizes, a reload between."""
    folder, images = exported
    models = Models([folder], open_model=partial(open_package, backend=runtime))
    asked = [images[number % len(images)] for number in range(200)]
    with served(models, concurrency=2) as url, ThreadPoolExecutor(1) as beside:
        reloaded = beside.submit(client(url).post, '/reload')
        found = answers(url, 'gfl', asked)
        assert reloaded.result().json() == {'reloaded': ['gfl']}
    check_right(found, folder, images)
    assert sum(len(one['boxes']) for one in found) > 200


def test_feature_a_product_that_the_client_knows(tmp_path: Path) -> None:
    """A request tells it; the next one is recognised again."""
    alarms = {'bottle': {'text': '59 good images certify 5 % at 95 %'}}
    hand_package(tmp_path / 'line', 'routed', alarms=alarms)
    model = Models([tmp_path / 'line'], open_model=open_package).get(None)
    assert model.describe()['alarms'] == alarms
    bright = np.full((8, 12, 3), 255, np.uint8)
    assert model.look(bright).unknown
    assert model.look(bright, 'cable').product == 'cable'
    assert model.look(bright).unknown
