"""Who holds connections, and does not use them, does not hold up the others."""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from mmdefect.serving.connections import Listener
from mmdefect.serving.models import Models
from mmdefect.serving.server import listen
from tests.helpers.served import (
    ShadeBackend,
    client,
    descriptors_left,
    part,
    served,
    write_package,
)

HALF = b'GET /health HTTP/1.1\r\nX: '
WHOLE = b'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'


@contextmanager
def server(folder: Path, timeout: float) -> Iterator[str]:
    models = Models([write_package(folder / 'm')], open_model=ShadeBackend)
    with served(models, timeout=timeout) as url:
        yield url


def line_to(url: str) -> socket.socket:
    port = int(url.rpartition(':')[2])
    return socket.create_connection(('127.0.0.1', port), timeout=20)


def is_ended(line: socket.socket) -> bool:
    """Whether nothing comes but the end."""
    try:
        return line.recv(1) == b''
    except ConnectionResetError:
        return True


def test_feature_200_half_open_connections(tmp_path: Path) -> None:
    """Others are answered meanwhile; then all 200 are closed."""
    with server(tmp_path, timeout=2) as url, ExitStack() as stack:
        lines = [stack.enter_context(line_to(url)) for _ in range(200)]
        for number, line in enumerate(lines):
            line.sendall(HALF if number % 2 else b'')
        with client(url) as http:
            assert http.get('/health').status_code == 200
        assert all(map(is_ended, lines))


def test_feature_a_drop_now_and_then_is_no_request(tmp_path: Path) -> None:
    """The time is not counted anew with each byte."""
    with server(tmp_path, timeout=0.4) as url, line_to(url) as line:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() < began + 10:
                line.sendall(b'x')
                time.sleep(0.05)
        assert time.monotonic() < began + 5


def test_feature_half_a_request_after_a_whole_one(tmp_path: Path) -> None:
    with server(tmp_path, timeout=1) as url, line_to(url) as line:
        for _ in range(2):
            line.sendall(WHOLE)
            answer = b''
            while not answer.endswith(b'}'):
                answer += line.recv(4096)
            assert answer.startswith(b'HTTP/1.1 200 ')
            time.sleep(1.2)  # without a byte uvicorn's longer limit holds
        line.sendall(HALF)
        assert is_ended(line)


def test_feature_a_request_that_takes_longer_is_answered(tmp_path: Path) -> None:
    """The limit is of the head of a request, not of its body or answer."""
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.png"'
        b'\r\n\r\n' + part(60).data + b'\r\n--edge--\r\n'
    )
    with server(tmp_path, timeout=2) as url, line_to(url) as line:
        time.sleep(1.2)
        line.sendall(
            b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n'
            b'Content-Type: multipart/form-data; boundary=edge\r\n\r\n' % len(body)
        )
        time.sleep(1.2)
        line.sendall(body)
        assert line.recv(4096).startswith(b'HTTP/1.1 200 ')


def test_feature_new_connections_beyond_the_limit_are_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = Models([write_package(tmp_path / 'm')], open_model=ShadeBackend)
    with (
        caplog.at_level(logging.WARNING),
        served(models, descriptors=descriptors_left() + 60) as url,
        ExitStack() as stack,
    ):
        lines = [stack.enter_context(line_to(url)) for _ in range(100)]
        assert is_ended(lines[-1])
        for line in lines:
            line.close()
        with client(url) as http:
            assert http.get('/health').status_code == 200
    assert 1 <= caplog.text.count('too many connections') <= 3
    assert len(caplog.records) <= 3


def test_exception_no_descriptor_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio is told to look again, and not a line for each time."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        Listener(listen('127.0.0.1', 0)) as listener,
        socket.create_connection(listener.getsockname()) as line,
        ExitStack() as stack,
    ):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors_left(), limits[1]))
            for _ in range(100):
                with pytest.raises(ConnectionAbortedError):
                    listener.accept()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        connection, _ = listener.accept()
        stack.enter_context(connection)
        connection.sendall(b'y')
        assert line.recv(1) == b'y'
    assert caplog.text.count('too many connections') == 1


def test_feature_a_listener_keeps_half_of_the_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = descriptors_left()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * lowest, hard))
        with (
            Listener(listen('127.0.0.1', 0)) as listener,  # takes the lowest
            socket.create_connection(listener.getsockname()) as line,
        ):
            with pytest.raises(ConnectionAbortedError):
                listener.accept()
            assert is_ended(line)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
