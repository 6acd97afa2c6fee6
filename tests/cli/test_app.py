"""``mmdefect app`` before there is a page: what it says in one sentence."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from tests.helpers.page_line import THRESHOLDS, package


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    return package(tmp_path / 'plates', THRESHOLDS[0])


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(['app', *words]) == 1
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    return said


def test_exception_no_such_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, str(tmp_path / 'nowhere'))
    assert 'nowhere does not exist: expected the folder of a line' in said


def test_exception_without_gradio(
    plates: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    monkeypatch.delitem(sys.modules, 'mmdefect.app.server', raising=False)
    said = complaint(capsys, str(plates))
    assert 'gradio is not installed' in said
    assert 'pip install "mmdefect[app]"' in said


@pytest.mark.parametrize('port', ['-1', '65536', '99999', '9' * 5000, '8e3', '٣'])
@pytest.mark.parametrize('command', ['app', 'serve'])
def test_exception_no_such_port(
    command: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some of them the system takes modulo 65536."""
    with pytest.raises(SystemExit, match='2'):
        main([command, 'nowhere', '--port', port])
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(': expected a port, 1 to 65535, or 0 for a free one')


@pytest.mark.slow
def test_exception_a_port_that_is_taken(
    plates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slow: Gradio is imported."""
    pytest.importorskip('gradio')
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = str(other.getsockname()[1])
        assert f'port {port}' in complaint(capsys, str(plates), '--port', port)
