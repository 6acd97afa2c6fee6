"""What is said when a signal or an error ends a tool, and the exit status.

test_launch.py has the same of two processes.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from mmengine.logging import MessageHub, MMLogger
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)

from mmdefect.apis import load_config
from mmdefect.utils.checks import check_range
from mmdefect.utils.files import claim, need_space
from mmdefect.utils.interrupts import raise_interrupts, recorded
from mmdefect.utils.launch import describe
from tests.conftest import tool_env

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One process without loggers, which reacts to signals as before afterwards."""
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    for kind in (MMLogger, MessageHub):
        monkeypatch.setattr(kind, '_instance_dict', OrderedDict())
    before = [(number, signal.getsignal(number)) for number, _ in SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize(('number', 'status'), SIGNALS)
def test_feature_one_process(
    number: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    MessageHub.get_current_instance().update_info('epoch', 1)

    @recorded('continue with --resume')
    def tool() -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    with pytest.raises(SystemExit) as end:
        tool()
    assert end.value.code == status
    said = 'interrupted at epoch 2; continue with --resume'
    assert capsys.readouterr().err.strip() == said


def ended(function: Callable[[], object]) -> object:
    """Exit status, or last words, of a tool that calls a function."""

    @recorded('start it again')
    def tool() -> None:
        function()

    with pytest.raises(SystemExit) as end:
        tool()
    return end.value.code


def test_feature_a_library_that_catches_everything(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A formatter of configs takes the signal for a fault of the text."""

    @recorded('continue with --resume')
    def tool() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except BaseException:
            raise SyntaxError('check the syntax') from None

    with pytest.raises(SystemExit) as end:
        tool()
    assert end.value.code == 143
    assert capsys.readouterr().err.strip() == 'interrupted; continue with --resume'


def test_feature_a_worker_is_ended_by_its_owner() -> None:
    """Slurm sends its signal to all processes of a job."""
    raise_interrupts()
    child = os.fork()
    if not child:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


LAUNCHED = """
import os, subprocess, sys, time
from mmdefect.utils import interrupts

@interrupts.recorded('start it again')
def main():
    interrupts.do_before_end(lambda: 'all is saved')
    print('ready', flush=True)
    time.sleep(60)

if sys.argv[1:]:
    main()
else:
    os.environ[interrupts.LAUNCHER] = str(os.getpid())
    subprocess.run([sys.executable, __file__, 'launched'])
"""


def test_feature_nobody_outlives_the_launcher(tmp_path: Path) -> None:
    """However that one was ended: the process saves, says so, and ends."""
    script = tmp_path / 'script.py'
    script.write_text(LAUNCHED, encoding='utf-8')
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=tool_env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as launcher:  # fmt: skip
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == 'ready\n'
        launcher.kill()
        begin = time.monotonic()
        said = launcher.stdout.read()  # until nobody holds it open
    assert said.strip() == 'interrupted; all is saved; start it again'
    assert time.monotonic() - begin < 10


REFUSED = r'error: config\W+none\.py.* expected a config file such as .* configs/.*'


def test_exception_a_refusal_is_one_sentence(tmp_path: Path) -> None:
    """Its traceback is in the log file."""
    log = tmp_path / 'run.log'
    MMLogger.get_instance('test_interrupts', log_file=str(log))
    said = ended(lambda: load_config('none.py'))
    assert re.fullmatch(REFUSED, str(said))
    text = log.read_text(encoding='utf-8')
    assert 'Traceback (most recent call last)' in text
    assert 'apis/config.py' in text


def test_exception_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    (tmp_path / 'file').touch()
    said = ended(lambda: claim(tmp_path / 'file'))
    assert said == (
        f'error: {tmp_path}/file: File exists; expected a place that can be read and '
        'written: check it, or give another --work-dir'
    )
    assert str(ended(full)).startswith('error: a file: No space left on device; exp')
    said = ended(lambda: need_space(tmp_path, 1 << 60, 'a checkpoint'))
    assert re.fullmatch(
        rf'error: {tmp_path} has \S+ MB free: expected 1,152,921,504,606\.8 MB for a '
        'checkpoint; free some space, or give another --work-dir',
        str(said),
    )


@pytest.mark.parametrize(
    ('function', 'kind'),
    [
        (lambda: check_range('beta', 'half', 0), TypeError),  # in ours, but no refusal
        (lambda: Path('/none/at/all').read_bytes(), FileNotFoundError),
    ],
)
def test_exception_of_others_keeps_its_traceback(
    function: Callable[[], object], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        recorded('')(function)()


@pytest.mark.parametrize(
    ('function', 'said'),
    [
        (lambda: load_config('none.py'), REFUSED),
        (
            lambda: Path('/none/at/all').read_bytes(),
            r'Traceback \(most recent call last\):\n(.*\n)+'
            r"FileNotFoundError: \[Errno 2\] No such file or directory: '/none/at/all'",
        ),
    ],
)
def test_exception_is_written_down_for_the_launcher(
    function: Callable[[], object],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'error.json'))
    monkeypatch.setattr('faulthandler.enable', lambda: None)
    assert ended(function) == 1
    failure = ProcessFailure(1, 1000, 1, str(tmp_path / 'error.json'))
    described = describe(ChildFailedError('x', {1: failure}))
    assert re.fullmatch(f'Process 1 failed:\n{said}', described)
