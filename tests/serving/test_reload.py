"""A package is replaced while its model works."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mmdefect.serving.app import create_app
from mmdefect.serving.models import Models, PackageError
from tests.helpers.served import ShadeBackend, part, wait_until, write_package

PART = part(60)
FILE = {'file': ('a.png', PART.data)}


def kind(answer: object) -> str:
    return answer.json()['predictions'][0]['boxes'][0]['name']


def test_feature_who_began_with_the_old_ends_with_it(tmp_path: Path) -> None:
    backends: list[weakref.ref] = []

    def open_model(folder: Path) -> ShadeBackend:
        backend = ShadeBackend(folder)
        backends.append(weakref.ref(backend))
        return backend

    folder = write_package(tmp_path / 'm', 'scratch')
    app = create_app(Models([folder], open_model=open_model))
    with TestClient(app) as client, ThreadPoolExecutor(1) as threads:
        gate = backends[0]().gate
        gate.clear()
        early = threads.submit(client.post, '/predict', files=FILE)
        wait_until(lambda: backends[0]().inside == 1)
        write_package(folder, 'dent')
        assert client.post('/reload?model=m').json() == {'reloaded': ['m']}
        assert kind(client.post('/predict', files=FILE)) == 'dent'
        assert backends[0]() is not None
        gate.set()
        assert kind(early.result()) == 'scratch'

        def released() -> bool:
            gc.collect()
            return backends[0]() is None

        wait_until(released)
        assert backends[1]() is not None


def test_exception_a_package_that_does_not_open(tmp_path: Path) -> None:
    """The old one goes on; those beside it are replaced."""
    folders = [write_package(tmp_path / name) for name in ('one', 'two')]
    app = create_app(Models(folders, open_model=ShadeBackend))
    with TestClient(app) as client:
        (folders[0] / 'shade.json').write_text('{')
        write_package(folders[1], 'dent')
        answer = client.post('/reload')
        assert answer.status_code == 422
        sentence = answer.json()['error']
        assert sentence.startswith('one: ')
        assert sentence.endswith('(the old one goes on; replaced: two)')
        assert kind(client.post('/predict?model=one', files=FILE)) == 'scratch'
        assert kind(client.post('/predict?model=two', files=FILE)) == 'dent'
        text = client.get('/metrics').text
        assert 'mmdefect_reloads_total{model="one",outcome="kept"} 1.0' in text


def test_exception_a_model_that_fails_on_its_first_image(tmp_path: Path) -> None:
    class Failing(ShadeBackend):
        def _look(self, image):
            raise RuntimeError('Non-zero status code\nmany lines')

    folder = write_package(tmp_path / 'm')
    with pytest.raises(PackageError, match=r'^m: Non-zero status code$'):
        Models([folder], open_model=Failing)


def test_exception_names(tmp_path: Path) -> None:
    same = [write_package(tmp_path / at / 'm') for at in ('a', 'b')]
    with pytest.raises(ValueError, match='folders of different names'):
        Models(same, open_model=ShadeBackend)
    with pytest.raises(ValueError, match='one package or more'):
        Models([], open_model=ShadeBackend)
