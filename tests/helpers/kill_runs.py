"""Kill runs of the four tasks at random moments, resume them, compare what comes out.

``python -m lab.reliability kills`` runs it from the command line.

Each task is first run in one go. Then runs are started, killed and started again until
they finish, each time at a moment drawn between the start and the duration of the whole
run. A finished run has to equal the uninterrupted one: every parameter of every
checkpoint bit for bit, the scores, and the names of all files.
"""

from __future__ import annotations

import fcntl
import random
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import PROGRAMS, REPO, tool_env
from tests.helpers.toy_tasks import command, differences, draw, write_config


class Killer:
    """Runs one task, and kills it.

    Args:
        task: Which.
        root: What :func:`draw` has drawn.
        out: Folder of its work dirs.
        programs: Folder of Python.
        rng: Draws the moments.
    """

    def __init__(
        self, task: str, root: Path, out: Path, programs: Path, rng: random.Random
    ) -> None:
        self.task, self.out, self.programs, self.rng = task, out, programs, rng
        self.config = write_config(task, root)
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.whole = out / 'whole'
        begin = time.monotonic()
        self._start(self.whole, again=False, after=None)
        self.seconds = time.monotonic() - begin

    def kill(self, signals: Sequence[int]) -> None:
        """Send each signal once, then let the last run finish."""
        left, number = list(signals), 0
        while left:
            work_dir, again = self.out / f'run_{number}', False
            number += 1
            while True:
                given = left[0] if left else None
                after = self.rng.uniform(0.5, self.seconds) if left else None
                if self._start(work_dir, again=again, after=after, given=given):
                    break
                self.done[signal.Signals(left.pop(0)).name] += 1
                again = True
            self.done['runs'] += 1
            self.wrong += [
                f'{work_dir}: {text}' for text in differences(self.whole, work_dir)
            ]
            shutil.rmtree(work_dir, ignore_errors=not self.wrong)

    def _start(
        self,
        work_dir: Path,
        *,
        again: bool,
        after: float | None,
        given: int | None = None,
    ) -> bool:
        """Start it; whether it finished before its end was sent."""
        wait_until_free(work_dir)
        # Killed before it had trained anything, it needs no --resume, nor minds it.
        words = command(self.task, self.config, work_dir, again=again)
        log = (self.out / 'log.txt').open('a', encoding='utf-8')
        with log, subprocess.Popen(
            [str(self.programs / 'python'), *words],
            cwd=REPO, env=tool_env(), stdout=log, stderr=log,
        ) as process:  # fmt: skip
            try:
                process.wait(timeout=after)
            except subprocess.TimeoutExpired:
                process.send_signal(given or signal.SIGKILL)
                process.wait(timeout=120)
        if process.returncode == 0:
            return True
        # A signal that comes before the tool listens ends it as any other program.
        expected = {-(given or 0), 128 + (given or 0)}
        if given is None or process.returncode not in expected:
            self.wrong.append(f'{work_dir}: exit status {process.returncode}')
            raise RuntimeError(f'{shlex.join(words)}: {self.wrong}, see {log.name}')
        return False


def wait_until_free(work_dir: Path, seconds: float = 60) -> None:
    """Wait until nobody has a work dir: processes of a killed one end by themselves.

    Raises:
        TimeoutError: They do not.
    """
    until = time.monotonic() + seconds
    for path in work_dir.rglob('.claim'):
        with path.open('a+', encoding='utf-8') as file:
            while True:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise TimeoutError(f'{path} is not given free') from None
                    time.sleep(0.2)


def shared_out(kills: int, terms: int, tasks: Sequence[str]) -> dict[str, list[int]]:
    """Signals of each task, SIGTERM among SIGKILL."""
    every = [int(signal.SIGKILL)] * kills + [int(signal.SIGTERM)] * terms
    random.Random(0).shuffle(every)
    return {
        task: [int(s) for s in every[k :: len(tasks)]] for k, task in enumerate(tasks)
    }


def kill_tasks(
    out: Path,
    signals: dict[str, list[int]],
    *,
    programs: Path = PROGRAMS,
    seed: int = 0,
) -> tuple[dict[str, float], list[str]]:
    """Kill runs of several tasks.

    Returns:
        What was done, ``kills/<task>/<SIGKILL, SIGTERM, runs, wrong, seconds>``, and
        what was wrong, in words.
    """
    root = out / 'data'
    draw(root)
    metrics: dict[str, float] = {}
    wrong: list[str] = []
    for task, sent in signals.items():
        (out / task).mkdir()
        begin = time.monotonic()
        killer = Killer(
            task, root, out / task, programs, random.Random(f'{task} {seed}')
        )
        killer.kill(sent)
        found = {name: killer.done[name] for name in ('SIGKILL', 'SIGTERM', 'runs')}
        found |= {'wrong': len(killer.wrong), 'seconds': time.monotonic() - begin}
        metrics |= {f'kills/{task}/{name}': float(n) for name, n in found.items()}
        wrong += killer.wrong
        print(task, found, flush=True)
    return metrics, wrong
