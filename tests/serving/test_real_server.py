"""A real server and real clients: many at once, hostile ones, and a reload between."""

from __future__ import annotations

import itertools
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from mmdefect.serving.models import Models
from tests.helpers.served import (
    CLASSES,
    ShadeBackend,
    client,
    part,
    served,
    wait_until,
    write_package,
)

HOSTILE = {
    'no image': b'<html>' * 1000,
    'cut': part(3).data[:200],
    'empty': b'',
}


def test_feature_200_requests_8_threads_a_reload(tmp_path: Path) -> None:
    """Each answer is right for its image; after the reload the new model answers."""
    folder = write_package(tmp_path / 'line_3', 'scratch')
    parts = [part(seed) for seed in range(200)]
    begun, reloaded = itertools.count(), threading.Event()

    with served(Models([folder], open_model=ShadeBackend), concurrency=2) as url:
        clients = threading.local()

        def ask(seed: int) -> tuple[dict, bool]:
            if not hasattr(clients, 'one'):
                clients.one = client(url)
            number, after = next(begun), reloaded.is_set()
            if number % 10 == 9:
                wrong = list(HOSTILE.values())[number // 10 % len(HOSTILE)]
                refused = clients.one.post('/predict', files={'file': ('x.png', wrong)})
                assert refused.status_code == 422, refused.text
                assert refused.json()['error'].startswith('cannot read the image x.png')
            if number == 60:
                write_package(folder, 'dent')
                answer = clients.one.post('/reload')
                assert answer.json() == {'reloaded': ['line_3']}
                reloaded.set()
            upload = (f'{seed}.png', parts[seed].data)
            answer = clients.one.post('/predict?everything=1', files={'file': upload})
            assert answer.status_code == 200, answer.text
            return answer.json(), after

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(ask, range(200)))
        text = client(url).get('/metrics').text

    kinds = set()
    for seed, (answer, after) in enumerate(answers):
        (found,) = answer['predictions']
        assert found['source'] == f'{seed}.png'
        (box,) = found['boxes']
        assert box['box'] == parts[seed].box
        assert box['score'] == pytest.approx(parts[seed].score)
        assert found['score'] == box['score']
        bad = parts[seed].score >= 0.5
        assert box['is_defect'] is bad
        assert found['decision'] == ('defective' if bad else 'ok')
        kinds.add(box['name'])
        assert not after or box['name'] == 'dent'
    assert kinds == set(CLASSES), 'the reload came too early or too late to be seen'
    assert 'mmdefect_requests_total{model="line_3",status="200"} 200.0' in text
    assert 'mmdefect_requests_total{model="line_3",status="422"} 20.0' in text


def test_feature_an_endless_upload_is_cut(tmp_path: Path) -> None:
    """Without a length, and it never ends: it is answered, and the connection shut."""
    models = Models([write_package(tmp_path / 'm')], open_model=ShadeBackend)
    chunk = b'10000\r\n' + b'x' * 0x10000 + b'\r\n'
    with (
        served(models, max_bytes=200_000) as url,
        socket.create_connection(('127.0.0.1', int(url.rpartition(':')[2]))) as line,
    ):
        line.settimeout(20)
        line.sendall(
            b'POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
            b'Content-Type: application/json\r\n\r\n'
        )
        with pytest.raises(OSError):  # after what sockets hold, and a little more
            line.sendall(chunk * 300)
        assert client(url).get('/health').status_code == 200


@pytest.mark.parametrize('length', [True, False])
def test_feature_too_large_is_said_to_who_sends_it_all(
    tmp_path: Path, length: bool
) -> None:
    models = Models([write_package(tmp_path / 'm')], open_model=ShadeBackend)
    body = b'x' * 250_000
    headers = {'Content-Type': 'application/json'}
    with served(models, max_bytes=200_000) as url, client(url) as http:
        content = body if length else iter([body[:100_000], body[100_000:]])
        answer = http.post('/predict', content=content, headers=headers)
        assert answer.status_code == 413
        assert 'expected at most 200000 bytes' in answer.json()['error']
        upload = {'file': ('a.png', part(1).data)}
        assert http.post('/predict', files=upload).status_code == 200


def test_feature_a_slow_upload_is_ended(tmp_path: Path) -> None:
    models = Models([write_package(tmp_path / 'm')], open_model=ShadeBackend)
    with (
        served(models, timeout=0.3) as url,
        socket.create_connection(('127.0.0.1', int(url.rpartition(':')[2]))) as line,
    ):
        line.settimeout(20)
        line.sendall(
            b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n'
            b'Content-Type: application/json\r\n\r\n{'
        )
        answer = b''.join(iter(lambda: line.recv(4096), b''))
    assert answer.startswith(b'HTTP/1.1 408 ')
    assert b'the request was not complete after 0.3 s' in answer


def test_feature_whoever_leaves_early_frees_the_place(tmp_path: Path) -> None:
    models = Models([write_package(tmp_path / 'm')], open_model=ShadeBackend)
    with (
        served(models, concurrency=1, queue=0) as url,
        client(url) as http,
    ):
        port = int(url.rpartition(':')[2])
        with socket.create_connection(('127.0.0.1', port)) as line:
            line.sendall(
                b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n'
                b'Content-Type: application/json\r\n\r\n{'
            )
            wait_until(lambda: _open_requests(http) == 1)
        wait_until(lambda: _open_requests(http) == 0)
        upload = {'file': ('a.png', part(1).data)}
        assert http.post('/predict', files=upload).status_code == 200


def _open_requests(http: httpx.Client) -> float:
    text = http.get('/metrics').text
    (line,) = (
        ln for ln in text.splitlines() if ln.startswith('mmdefect_requests_open ')
    )
    return float(line.split()[1])
