"""Starting and stopping; a process of its own where signals are meant."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from mmdefect.serving.server import listen, run
from mmdefect.serving.settings import TOKEN, ServerSettings, is_loopback
from tests.helpers.served import ShadeBackend, client, part, write_package

PROGRAM = Path(__file__).parents[1] / 'helpers' / 'slow_server.py'


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_feature_a_signal_drains(tmp_path: Path, number: int) -> None:
    """Who has been heard is answered; then it ends with 0, and torch was not needed."""
    package = write_package(tmp_path / 'm')
    process = subprocess.Popen(
        [sys.executable, PROGRAM, package],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        first = process.stdout.readline()
        assert first.startswith('serving m on http://127.0.0.1:'), (
            first + process.stderr.read()
        )
        url = first.split()[-1]
        answers: list[httpx.Response] = []

        def ask() -> None:
            files = {'file': ('a.png', part(60).data)}
            answers.append(client(url).post('/predict', files=files))

        asking = threading.Thread(target=ask)
        asking.start()
        assert process.stdout.readline() == 'looking\n'
        process.send_signal(number)
        asking.join(30)
        assert answers[0].status_code == 200
        assert answers[0].json()['predictions'][0]['boxes'][0]['box'] == part(60).box
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert output == 'loaded []\n'
    assert 'Traceback' not in errors


def complaint(capsys: pytest.CaptureFixture) -> str:
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err.count('\n') == 1
    return said.err


def test_exception_port_in_use(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    opened: list[Path] = []
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        assert run([tmp_path / 'm'], port=port, open_model=opened.append) == 1
    said = complaint(capsys)
    assert f'cannot listen at 127.0.0.1, port {port} (Address already in use)' in said
    assert not opened


@pytest.mark.parametrize('port', [-1, 70_000])
def test_exception_no_such_port(port: int) -> None:
    """Which the system would take for another."""
    with pytest.raises(ValueError, match=f'port={port}: expected at least 0'):
        listen('127.0.0.1', port)


def test_feature_answers_are_not_held_back() -> None:
    with (
        listen('127.0.0.1', 0) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            # Nor kept for ever for who does not read them.
            unread = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert unread == 30_000


def test_exception_no_such_address(capsys: pytest.CaptureFixture) -> None:
    token = 'long enough'.replace(' ', '-') + 'x' * 16
    code = run(['m'], host='192.0.2.7', port=0, token=token, open_model=ShadeBackend)
    assert code == 1
    said = complaint(capsys)
    assert 'cannot listen at 192.0.2.7' in said
    assert token not in said


def test_exception_beyond_this_machine_without_a_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for host in ('0.0.0.0', '::', '', 'my-server', '10.0.0.1'):
        assert run(['m'], host=host, open_model=ShadeBackend) == 2
        assert f'host={host!r}: expected' in complaint(capsys)
    monkeypatch.setenv(TOKEN, 'too short')
    assert run(['m'], host='0.0.0.0', open_model=ShadeBackend) == 2
    said = complaint(capsys)
    assert 'token: expected 16 characters' in said
    assert 'too short' not in said


def test_feature_the_token_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Then any address is taken; here the package is what stops it."""
    monkeypatch.setenv(TOKEN, 'x' * 16)
    assert run([tmp_path / 'm'], host='0.0.0.0', port=0, open_model=ShadeBackend) == 1
    assert complaint(capsys).startswith('m: ')


def test_exception_packages(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    same = [write_package(tmp_path / at / 'm') for at in ('a', 'b')]
    assert run(same, open_model=ShadeBackend) == 2
    assert 'rename all but one' in complaint(capsys)
    (same[0] / 'shade.json').write_text('no JSON')
    assert run(same[:1], port=0, open_model=ShadeBackend) == 1
    assert complaint(capsys).startswith('m: Expecting value')


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('port', -1),
        ('port', 70_000),
        ('max_bytes', 0),
        ('max_pixels', 0),
        ('max_files', 0),
        ('concurrency', 0),
        ('queue', -1),
        ('timeout', 0),
        ('timeout', float('nan')),
        ('timeout', float('inf')),
        ('timeout', 1e6),
        ('token', 'with spaces ' * 3),
        ('token', 'ünicode' * 3),
    ],
)
def test_exception_settings(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f'^{name}'):
        ServerSettings(**{name: value})


def test_feature_the_token_is_not_shown() -> None:
    assert 'secret' not in repr(ServerSettings(token='secret' * 4))


def test_feature_loopback() -> None:
    assert all(map(is_loopback, ('127.0.0.1', '127.1.2.3', '::1', 'localhost')))
    assert not any(map(is_loopback, ('0.0.0.0', '::', '', 'x', '192.168.0.1')))
