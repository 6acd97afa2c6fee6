"""A command in a fork of the server sees and says what it would in a new Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import warm_python

SAYS = """\
import atexit, os, sys
import beside
atexit.register(print, 'the end')
print(sys.argv, __name__, beside.__name__, os.getcwd(), os.environ['MINE'])
print(sys.path[1], sys.stdin.read())
print('aside', file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope='module')
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp('warm')
    with warm_python.start(folder, ['graphlib', 'not_installed']) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Scripts to be run."""
    for name, text in {
        'says': SAYS,
        'beside': '',
        'knows': "import sys\nprint('graphlib' in sys.modules)",
        'fails': "raise ValueError('wrong')",
        'kills': 'import os\nos.kill(os.getpid(), 9)',
        'gives_up': "import sys\nsys.exit('I gave up')",
        'waits': "import time\nprint('here', flush=True)\ntime.sleep(60)",
        'starts': (
            'import subprocess, sys\n'
            "done = subprocess.run([sys.executable, '-u', 'knows.py'])\n"
            'sys.exit(done.returncode)'
        ),
    }.items():
        (tmp_path / f'{name}.py').write_text(text, encoding='utf-8')
    return tmp_path


def run(python: Path | str, folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [python, *words],
        cwd=folder,
        env={**os.environ, 'MINE': 'yes', 'PYTHONPATH': str(folder / 'more')},
        input='in',
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    'words',
    [
        ('says.py', '0'),
        ('-u', 'says.py', '3'),
        ('-m', 'says', '2'),
        ('-c', 'print(1)'),
        ('kills.py',),
        ('gives_up.py',),
    ],
)
def test_feature_as_a_new_python(
    programs: Path, folder: Path, words: tuple[str, ...]
) -> None:
    new, warm = (
        run(python, folder, *words) for python in (sys.executable, programs / 'python')
    )
    assert (warm.returncode, warm.stdout, warm.stderr) == (
        new.returncode,
        new.stdout,
        new.stderr,
    )


def test_feature_a_fork_has_the_libraries(programs: Path, folder: Path) -> None:
    """And what it starts has them."""
    assert run(sys.executable, folder, 'knows.py').stdout == 'False\n'
    for script in ('knows.py', 'starts.py'):
        assert run(programs / 'python3', folder, script).stdout == 'True\n'


def test_exception_a_command_fails(programs: Path, folder: Path) -> None:
    done = run(programs / 'python', folder, 'fails.py')
    assert done.returncode == 1
    assert done.stderr.endswith('ValueError: wrong\n')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_feature_signals_reach_the_command(
    programs: Path, folder: Path, number: signal.Signals
) -> None:
    """It holds the pipe: the pipe ends with it."""
    with subprocess.Popen(
        [programs / 'python', 'waits.py'],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout.readline() == b'here\n'
        process.send_signal(number)
        assert not process.stdout.read()
    assert process.returncode == -number


def test_exception_no_server(tmp_path: Path) -> None:
    (tmp_path / 'socket').touch()
    with (
        pytest.raises(RuntimeError, match='this server did not start'),
        warm_python.start(tmp_path, []),
    ):
        pass
