"""The routes: what is answered, and how everything else is refused."""

from __future__ import annotations

import base64
import io
import json
import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from mmdefect.deploy.outputs import BoxOutput, MapOutput
from mmdefect.serving.app import create_app
from mmdefect.serving.models import Model, Models
from mmdefect.serving.settings import ServerSettings
from tests.helpers.image_files import ACCEPTED, REFUSED
from tests.helpers.served import (
    ShadeBackend,
    encoded,
    part,
    wait_until,
    write_package,
)

PART = part(60)
BASE64 = base64.b64encode(PART.data).decode()


class Opened:
    """Opens packages and keeps what it opened, by folder."""

    def __init__(self) -> None:
        self.last: dict[str, ShadeBackend] = {}

    def __call__(self, folder: Path) -> ShadeBackend:
        self.last[folder.name] = ShadeBackend(folder)
        return self.last[folder.name]


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def client(tmp_path: Path, opened: Opened) -> Iterator[TestClient]:
    """Two models, ``boxes`` and ``maps``."""
    folders = [
        write_package(tmp_path / 'boxes'),
        write_package(tmp_path / 'maps', task='maps', threshold=None),
    ]
    settings = ServerSettings(max_bytes=200_000, max_pixels=10_000, max_files=3)
    app = create_app(Models(folders, open_model=opened), settings)
    with TestClient(app) as client:
        yield client


def one_model(tmp_path: Path, opened: Opened, **limits: Any) -> TestClient:
    models = Models([write_package(tmp_path / 'm')], open_model=opened)
    return TestClient(create_app(models, ServerSettings(**limits)))


def file(data: bytes = PART.data, name: str = 'a.png') -> dict:
    return {'file': (name, data)}


def boxes(prediction: dict) -> list:
    return [one['box'] for one in prediction['boxes']]


def refused(answer: Any, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {'error'}
    sentence = answer.json()['error']
    assert '\n' not in sentence
    assert len(sentence) < 700
    for word in words:
        assert word in sentence


def test_smoke_a_file(client: TestClient) -> None:
    answer = client.post('/predict?model=boxes', files=file())
    assert answer.status_code == 200, answer.text
    assert answer.json()['model'] == 'boxes'
    (found,) = answer.json()['predictions']
    assert boxes(found) == [PART.box]
    assert found['size'] == [64, 48]
    assert found['source'] == 'a.png'
    assert found['decision'] == 'defective'
    assert found['calibrated'] is True


def test_smoke_json(client: TestClient) -> None:
    body = {'image': BASE64, 'model': 'boxes', 'name': 'line/7.png', 'threshold': 0.99}
    answer = client.post('/predict', json=body)
    (found,) = answer.json()['predictions']
    assert found['source'] == 'line/7.png'
    assert boxes(found) == []
    assert found['decision'] == 'ok'
    assert found['threshold'] == pytest.approx(0.99)
    (found,) = client.post('/predict?everything=true', json=body).json()['predictions']
    assert boxes(found) == [PART.box]
    assert found['boxes'][0]['is_defect'] is False


def test_feature_a_threshold_a_class(client: TestClient) -> None:
    for scratch, decision in ((0.9, 'ok'), (0.2, 'defective')):
        limits = {'scratch': scratch, 'dent': 0.1}
        body = {'image': BASE64, 'model': 'boxes', 'threshold': limits}
        (found,) = client.post('/predict', json=body).json()['predictions']
        assert found['decision'] == decision
    kept = client.get('/models').json()['models'][0]
    assert kept['thresholds'] == {}
    assert kept['default_threshold'] == 0.5


def test_feature_several_files_one_broken(client: TestClient) -> None:
    files = [('file', (f'{seed}.png', part(seed).data)) for seed in (1, 2)]
    files.insert(1, ('file', ('broken.png', PART.data[:100])))
    form = {'model': 'boxes', 'threshold': '0.1'}
    answer = client.post('/predict', files=files, data=form)
    assert answer.status_code == 200, answer.text
    first, broken, last = answer.json()['predictions']
    assert [boxes(first), boxes(last)] == [[part(1).box], [part(2).box]]
    assert 'error' not in first
    assert broken['source'] == 'broken.png'
    assert broken['decision'] == 'undecided'
    assert 'truncated or damaged' in broken['error']


def test_feature_maps_and_products(client: TestClient) -> None:
    answer = client.post('/predict?model=maps&product=dent&threshold=.5', files=file())
    (found,) = answer.json()['predictions']
    assert found['product'] == 'dent'
    assert found['decision'] == 'defective'
    undecided = client.post('/predict?model=maps', files=file()).json()
    assert undecided['predictions'][0]['decision'] == 'undecided'
    unknown = client.post('/predict?model=maps&product=dint', files=file())
    refused(unknown, 422, 'product', "'dint'", 'did you mean dent')
    needless = client.post('/predict?model=boxes&product=dent', files=file())
    refused(needless, 422, 'product', 'expected none with a model of boxes')


@pytest.mark.parametrize('name', ACCEPTED)
def test_feature_any_image_that_is_read_elsewhere(
    client: TestClient, name: str
) -> None:
    answer = client.post('/predict?model=boxes', files=file(ACCEPTED[name][0], name))
    assert answer.status_code == 200, answer.text
    assert answer.json()['predictions'][0]['size'] == [8, 6]


@pytest.mark.parametrize('name', REFUSED)
def test_exception_any_image_that_is_refused_elsewhere(
    client: TestClient, name: str
) -> None:
    data, why = REFUSED[name]
    answer = client.post('/predict?model=boxes', files=file(data, name))
    refused(answer, 422, name, why)


def test_feature_turned_as_viewers_show(client: TestClient) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[5:15, 10:30] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, 'PNG', exif=exif)
    answer = client.post('/predict?model=boxes', files=file(packed.getvalue()))
    (found,) = answer.json()['predictions']
    assert found['size'] == [40, 60]
    assert boxes(found) == [[25, 10, 35, 30]]


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it has this many grey pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + check

    size = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(10_000_000), 9)
    content = chunk(b'IHDR', size) + chunk(b'IDAT', packed) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + content


@pytest.mark.parametrize('size', [(50_000, 50_000), (101, 100)])
def test_exception_too_many_pixels(client: TestClient, size: tuple) -> None:
    answer = client.post('/predict?model=boxes', files=file(bomb(*size)))
    limit = 'above the limit of 10000, max_pixels of the server'
    refused(answer, 422, 'a.png', f'{size[0]}x{size[1]}', limit)
    assert 'MMDEFECT' not in answer.text


def test_exception_a_small_picture_with_much_behind(client: TestClient) -> None:
    """Its header is harmless: no more is unpacked than that many pixels need."""
    answer = client.post('/predict?model=boxes', files=file(bomb(50, 50)))
    assert answer.status_code in (200, 422)


@pytest.mark.parametrize(
    'name', ['../../etc/passwd', '/etc/passwd', 'C:\\x\\y.png', 'a' * 300, '..']
)
def test_exception_names_that_are_paths(client: TestClient, name: str) -> None:
    answer = client.post('/predict?model=boxes', files=file(name=name))
    if name.startswith('C:'):  # as old browsers do: only the name is taken
        assert answer.json()['predictions'][0]['source'] == 'y.png'
    else:
        refused(answer, 400, 'the request names the file')
    body = {'image': BASE64, 'model': 'boxes', 'name': name}
    refused(client.post('/predict', json=body), 400, 'the request names the file')


DEEP = '[' * 40 + ']' * 40
JSON_BODIES = {
    '': 'is no JSON',
    '{': 'is no JSON',
    '[]': 'holds a list',
    '{}': 'image: expected',
    '{"image": 7}': 'image: expected',
    '{"image": ""}': 'image: expected',
    '{"image": "//no base64//"}': 'image is no base64',
    '{"image": "é"}': 'image is no base64',
    '{"image": "aGVsbG8=", "url": "http://x"}': "'url': expected one of image",
    '{"image": "aGVsbG8=", "model": ["boxes"]}': 'model: expected text',
    '{"image": "aGVsbG8=", "threshold": "much"}': 'threshold=much: expected a number',
    '{"image": "aGVsbG8=", "everything": 2}': 'everything=2: expected true',
    '{"image": "aGVsbG8=", "threshold": NaN}': 'threshold=nan: expected a number',
    '{"image": "aGVsbG8=", "threshold": true}': 'threshold=True: expected a number',
    '{"image": "aGVsbG8=", "threshold": 1' + '0' * 400 + '}': 'expected a number',
    '{"image": "aGVsbG8=", "threshold": ' + '1' * 5000 + '}': 'too many digits',
    '{"image": "aGVsbG8=", "threshold": {"dent": null}}': 'expected a number',
    '{"image": "aGVsbG8=", "name": 7}': 'names the file 7',
    '{"image": ' + DEEP + '}': 'image: expected',
    '[' * 60_000: "too many '['",
    '{"a":' * 30_000: "too many '{'",
    '[' + '1,' * 60_000 + '1]': "too many ','",
}


@pytest.mark.parametrize('body', JSON_BODIES, ids=range(len(JSON_BODIES)))
def test_exception_json(client: TestClient, body: str) -> None:
    answer = client.post(
        '/predict?model=boxes',
        content=body.encode(),
        headers={'Content-Type': 'application/json; charset=utf-8'},
    )
    if '"model"' in body:
        refused(answer, 400, 'model is given twice')
        answer = client.post(
            '/predict', content=body, headers={'Content-Type': 'application/json'}
        )
    refused(answer, 400, JSON_BODIES[body])


def test_exception_other_content(client: TestClient) -> None:
    for kind in ('image/png', 'application/x-www-form-urlencoded', ''):
        headers = {'Content-Type': kind}
        answer = client.post('/predict', content=PART.data, headers=headers)
        refused(answer, 415, f"Content-Type '{kind}': expected multipart/form-data")
    packed = base64.b64encode(bytes(200_000)).decode()
    refused(client.post('/predict', json={'image': packed}), 413, '200000 bytes')


def test_exception_forms(client: TestClient) -> None:
    ask = '/predict?model=boxes'
    refused(
        client.post(ask, files={'image': ('a.png', b'x')}), 400, "'image'", '"file"'
    )
    refused(client.post(ask, files={'file': (None, 'text')}), 400, "'file': expected")
    four = [('file', ('a.png', PART.data))] * 4
    refused(client.post(ask, files=four), 400, 'number of files is 3')
    fields = dict.fromkeys('abcdef', '1')
    refused(client.post(ask, files=file(), data=fields), 400, 'number of fields is 4')
    long = {'threshold': '1' * 5000}
    refused(client.post(ask, files=file(), data=long), 400, 'maximum size')
    twice = {'model': 'boxes'}
    refused(client.post(ask, files=file(), data=twice), 400, 'model is given twice')
    refused(client.post(f'{ask}&page=2', files=file()), 400, "'page'")
    headers = {'Content-Type': 'multipart/form-data'}
    refused(client.post(ask, content=b'x', headers=headers), 400, 'boundary')


def test_exception_a_form_that_is_cut(client: TestClient) -> None:
    """What came whole is not taken for all that was sent."""
    headers = {'Content-Type': 'multipart/form-data; boundary=edge'}
    head = b'Content-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    one = b'--edge\r\n' + head + PART.data + b'\r\n'
    whole = client.post(
        '/predict?model=boxes', content=one + b'--edge--\r\n', headers=headers
    )
    assert whole.status_code == 200, whole.text
    for body in (
        one + b'--edge',
        one + one[:-40],
        one + b'--edge\r\nX: y',
        b'--edge--',
    ):
        answer = client.post('/predict?model=boxes', content=body, headers=headers)
        refused(answer, 400)


@pytest.mark.parametrize('bits', [None, 12])
def test_feature_12_bits(tmp_path: Path, opened: Opened, bits: int | None) -> None:
    image = np.full((8, 9), 4095, np.uint16)
    with one_model(tmp_path, opened, bits=bits) as client:
        answer = client.post('/predict', files=file(encoded(image)))
        if bits is None:
            refused(answer, 422, 'start the server with --bits 12')
        else:
            assert answer.json()['predictions'][0]['score'] == 1


def test_exception_models(client: TestClient) -> None:
    refused(client.post('/predict', files=file()), 422, 'expected one of boxes, maps')
    answer = client.post('/predict?model=xs%0A', files=file())
    refused(answer, 404, "model='xs\\n'", 'boxes, maps')
    refused(client.post('/reload?model=xs'), 404, "model='xs'")
    body = {'image': BASE64, 'model': 'boxes', 'threshold': {'dint': 0.5}}
    refused(client.post('/predict', json=body), 422, "unknown class 'dint'")


def test_exception_routes(client: TestClient) -> None:
    refused(client.get('/nothing'), 404, 'GET /nothing')
    refused(client.get('/predict'), 405, 'GET /predict')
    for page in ('/docs', '/redoc', '/openapi.json'):
        refused(client.get(page), 404)


def test_exception_a_model_that_fails(client: TestClient, caplog: Any) -> None:
    unlucky = encoded(np.full((9, 9, 3), 13, np.uint8))
    answer = client.post('/predict?model=boxes', files=file(unlucky))
    refused(answer, 500, 'boxes failed on a.png (unlucky image): see the log')
    assert 'Traceback' in caplog.text
    both = [('file', ('a.png', unlucky)), ('file', ('b.png', PART.data))]
    found = client.post('/predict?model=boxes', files=both).json()['predictions']
    assert 'unlucky image' in found[0]['error']
    assert boxes(found[1]) == [PART.box]


@pytest.mark.parametrize('name', ['boxes', 'maps'])
def test_exception_a_model_that_says_nonsense(
    client: TestClient, opened: Opened, caplog: Any, name: str
) -> None:
    """A class that it does not have, and what is no number."""
    backend = opened.last[name]
    nothing = np.full((48, 64), np.nan, np.float32)
    backend.label = 7
    if name == 'maps':
        said = MapOutput(anomaly_map=nothing, score=float('nan'))
        backend._look = lambda image: said
    answer = client.post(f'/predict?model={name}&threshold=.5', files=file())
    refused(answer, 500, f'{name} failed on a.png', 'see the log')
    assert 'Traceback' in caplog.text


def test_exception_a_result_that_cannot_be_told(
    client: TestClient, opened: Opened, caplog: Any
) -> None:
    """Fewer boxes than scores: nobody has looked before it is made JSON."""
    backend = opened.last['boxes']
    backend._look = lambda image: BoxOutput(
        boxes=np.zeros((1, 4), np.float32),
        scores=np.ones(2, np.float32),
        labels=np.zeros(2, int),
    )
    refused(client.post('/predict?model=boxes', files=file()), 500, 'boxes failed on')
    assert 'Traceback' in caplog.text


def test_exception_what_nobody_thought_of(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(model: object) -> None:
        raise RuntimeError('secret')

    monkeypatch.setattr(Model, 'describe', describe)
    honest = TestClient(client.app, raise_server_exceptions=False)
    refused(honest.get('/models'), 500, '/models failed: see the log')


@pytest.mark.parametrize('threshold', [-0.1, 1.5])
def test_exception_a_threshold_that_no_score_has(
    client: TestClient, threshold: float
) -> None:
    """Of boxes; a map's score may be any number."""
    for given in (threshold, {'dent': threshold}):
        body = {'image': BASE64, 'model': 'boxes', 'threshold': given}
        refused(client.post('/predict', json=body), 422, 'threshold')
    body = {'image': BASE64, 'model': 'maps', 'threshold': threshold}
    assert client.post('/predict', json=body).status_code == 200


def test_feature_models_and_health(client: TestClient) -> None:
    assert client.get('/health').json() == {
        'status': 'ready',
        'models': ['boxes', 'maps'],
    }
    boxes, maps = client.get('/models').json()['models']
    assert boxes['name'] == 'boxes'
    assert boxes['task'] == 'boxes'
    assert boxes['classes'] == ['scratch', 'dent']
    assert boxes['calibrated'] is True
    assert boxes['about'] == {'step': 1}
    assert boxes['backend'] == 'onnxruntime'
    assert maps['default_threshold'] is None


def test_feature_metrics(client: TestClient) -> None:
    for model, data in (('boxes', PART.data), ('boxes', b'x'), ('maps', PART.data)):
        client.post(f'/predict?model={model}', files=file(data))
    client.post('/predict?model=other', files=file())
    client.post('/reload?model=maps')
    answer = client.get('/metrics')
    assert answer.headers['content-type'].startswith('text/plain; version=')
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert found['mmdefect_requests_total', '200', 'boxes'] == 1
    assert found['mmdefect_requests_total', '422', 'boxes'] == 1
    assert found['mmdefect_requests_total', '', '404'] == 1
    assert found['mmdefect_request_seconds_count', 'boxes'] == 2
    assert found['mmdefect_image_seconds_count', 'maps'] == 1
    assert found['mmdefect_decisions_total', 'boxes', 'defective'] == 1
    assert found['mmdefect_decisions_total', 'maps', 'undecided'] == 1
    assert found['mmdefect_defects_total', 'boxes', 'scratch'] == 1
    assert found['mmdefect_errors_total', 'image'] == 1
    assert found['mmdefect_errors_total', 'model'] == 1
    assert found['mmdefect_reloads_total', 'maps', 'replaced'] == 1
    assert found['mmdefect_queue_length',] == 0
    assert found['mmdefect_requests_open',] == 0
    assert ('mmdefect_model_info', 'boxes', 'boxes', 'onnxruntime', 'true') in found


def test_exception_without_the_token(tmp_path: Path, opened: Opened) -> None:
    token = 'x' * 16
    with one_model(tmp_path, opened, token=token, host='0.0.0.0') as client:
        assert client.get('/health').status_code == 200
        wrong = (
            None,
            token,
            'Bearer',
            f'Bearer {token}y',
            f'Basic {token}',
            'Bearer é',
        )
        for given in wrong:
            headers = {'Authorization': given.encode()} if given else {}
            answer = client.post('/predict', files=file(), headers=headers)
            refused(answer, 401, 'Authorization: Bearer')
            assert answer.headers['www-authenticate'] == 'Bearer'
            assert client.get('/models', headers=headers).status_code == 401
            assert client.get('/metrics', headers=headers).status_code == 401
            assert client.post('/reload', headers=headers).status_code == 401
        client.headers['Authorization'] = f'Bearer {token}'
        assert client.post('/predict', files=file()).status_code == 200
        assert client.post('/reload').status_code == 200


def test_exception_full_queue(tmp_path: Path, opened: Opened) -> None:
    with (
        one_model(tmp_path, opened, concurrency=1, queue=1) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        service, gate = client.app.state.service, opened.last['m'].gate
        gate.clear()
        early = [
            threads.submit(client.post, '/predict', files=file()) for _ in range(2)
        ]
        wait_until(lambda: service.work.taken == 2 and service.work.waiting == 1)
        assert 'mmdefect_queue_length 1.0' in client.get('/metrics').text
        answer = client.post('/predict', files=file())
        refused(answer, 503, '2 requests are being served', 'try again')
        assert int(answer.headers['retry-after']) >= 1
        gate.set()
        assert [future.result().status_code for future in early] == [200, 200]
        assert client.post('/predict', files=file()).status_code == 200
        assert service.work.taken == service.work.waiting == 0


def test_exception_out_of_time(tmp_path: Path, opened: Opened) -> None:
    """Its place is free only when the thread is: what runs cannot be stopped."""
    limits = {'concurrency': 1, 'queue': 0, 'timeout': 1.0}
    with one_model(tmp_path, opened, **limits) as client:
        service, gate = client.app.state.service, opened.last['m'].gate
        gate.clear()
        two = [('file', ('a.png', PART.data)), ('file', ('b.png', PART.data))]
        refused(client.post('/predict', files=two), 504, '2 of 2 images', '1 s')
        assert service.work.waiting == 0  # the second will not begin
        refused(client.post('/predict', files=file()), 503)
        wait_until(lambda: client.get('/health').status_code == 503)
        assert client.get('/health').json() == {'status': 'stuck', 'models': ['m']}
        gate.set()
        wait_until(lambda: service.work.taken == 0)
        assert client.get('/health').json()['status'] == 'ready'
        assert client.post('/predict', files=file()).status_code == 200


@pytest.mark.parametrize(
    ('name', 'most'), [('onnxruntime', 3), ('openvino', 3), ('torch', 1)]
)
def test_feature_only_some_backends_are_shared(
    tmp_path: Path, opened: Opened, name: str, most: int
) -> None:
    folder = write_package(tmp_path / 'm', backend=name)
    models = Models([folder], open_model=opened)
    backend, arrived = opened.last['m'], threading.Barrier(4)
    backend.gate.clear()
    image = np.zeros((8, 8, 3), np.uint8)

    def look() -> None:
        arrived.wait(20)
        models.get(None).look(image)

    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(look) for _ in range(3)]
        arrived.wait(20)
        wait_until(lambda: backend.inside == most)
        backend.gate.set()
        for future in futures:
            future.result()
    assert backend.most_inside == most


def test_feature_error_bodies_are_json(client: TestClient) -> None:
    answer = client.post('/predict?model=boxes', files=file(b'no image'))
    assert answer.headers['content-type'] == 'application/json'
    assert json.loads(answer.content)['error']
