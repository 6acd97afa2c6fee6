"""Start a script in several processes that form a group on this machine."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.conftest import PROGRAMS, REPO, tool_env


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def run_ranks(
    script: object, *args: object, processes: int = 2, programs: Path = PROGRAMS
) -> None:
    """Run it with torchrun, or plainly as the only process; it has to succeed.

    Python is the one in ``programs``.
    """
    launch = [str(programs / 'python')]
    if processes > 1:
        launch += ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}']
        launch += [f'--master_port={free_port()}']
    done = subprocess.run(
        [*launch, *map(str, (script, *args))],
        cwd=REPO,
        env=tool_env(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
