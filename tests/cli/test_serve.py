"""What ``mmdefect serve`` refuses before it loads anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmdefect.cli.main import main


def complaint(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(['serve', 'm', '--port', '0', *words]) in (1, 2)
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    return said


def test_exception_token_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that does not end is read, and no more than a token needs."""
    large, empty, pipe, binary = (tmp_path / name for name in ('l', 'e', 'p', 'b'))
    large.write_text('x' * 5000)
    empty.write_text('\n')
    binary.write_bytes(b'\xff' * 20)
    os.mkfifo(pipe)
    for file, why in {
        Path('/dev/zero'): 'a device or a pipe',
        pipe: 'a device or a pipe',
        tmp_path: 'a folder',
        tmp_path / 'none': 'there is no token file',
        large: 'expected at most 4096 for the token file',
        empty: 'the file is empty',
        binary: 'no UTF-8 text',
    }.items():
        assert why in complaint(capsys, '--token-file', str(file))


@pytest.mark.parametrize('timeout', ['inf', 'nan', '0', '1e9'])
def test_exception_timeout(capsys: pytest.CaptureFixture[str], timeout: str) -> None:
    assert 'timeout=' in complaint(capsys, '--timeout', timeout)


def test_exception_packages_and_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 'leave one of them out' in complaint(capsys, '--line', str(tmp_path))
    for words, why in {
        (): 'PACKAGE: expected one package or more, or --line LINE',
        ('--line', str(tmp_path)): 'is no line (no line.json)',
    }.items():
        assert main(['serve', *words]) == 1
        assert why in capsys.readouterr().err


def test_feature_a_line_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is opened is told by the line, not by a package."""
    from mmdefect.line.folder import Line
    from mmdefect.serving import server

    calls: list[tuple[tuple[list[str], ...], dict]] = []
    monkeypatch.setattr(server, 'run', lambda *a, **k: calls.append((a, k)) or 0)
    line = Line.create(tmp_path / 'my_line')
    for words in (['--line', str(line.folder)], ['m']):
        assert main(['serve', *words, '--port', '0']) == 0
    (packages, ours), (others, none) = calls
    assert (packages, ours['line'].folder) == (([],), line.folder)
    assert (others, none['line']) == ((['m'],), None)
