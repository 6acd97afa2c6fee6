"""One at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmdefect.line import lock
from mmdefect.line.lock import locked


def test_exception_the_second_one_is_told(tmp_path: Path) -> None:
    file = tmp_path / 'lock'
    why = f'rollback: {tmp_path} is in use by promote, process {os.getpid()} on'
    with (
        locked(file, 'promote'),
        pytest.raises(ValueError, match=why) as error,
        locked(file, 'rollback'),
    ):
        pass
    assert str(error.value).endswith('expected one at a time; wait for its end')
    with locked(file, 'rollback'):
        pass


def test_feature_a_kill_frees_it(tmp_path: Path) -> None:
    file = tmp_path / 'lock'
    program = (
        'import sys, time\n'
        'from pathlib import Path\n'
        'from mmdefect.line.lock import locked\n'
        "with locked(Path(sys.argv[1]), 'promote'):\n"
        '    print(1, flush=True)\n'
        '    time.sleep(60)\n'
    )
    with subprocess.Popen(
        [sys.executable, '-c', program, file], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.read(1)
        with pytest.raises(ValueError, match=f'process {other.pid} on'):
            locked(file, 'x').__enter__()
        other.send_signal(signal.SIGKILL)
    with locked(file, 'x'):
        pass


def test_feature_a_deleted_file_grants_no_second_lock(tmp_path: Path) -> None:
    file = tmp_path / 'lock'
    with locked(file, 'promote'):
        file.unlink()
        for _ in range(2):  # the second one finds the file of the first
            with pytest.raises(ValueError, match='is in use by another process'):
                locked(file, 'rollback').__enter__()
    with locked(file, 'rollback'):
        pass


def test_feature_who_waits_for_a_stopped_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, 'PATIENCE', 0.05)
    file = tmp_path / 'file'
    file.touch()
    why = r'is held by another process for more than'
    with lock.alone(file), pytest.raises(OSError, match=why), lock.alone(file):
        pytest.fail('two at once')
    with lock.alone(file):
        pass
