"""Which share of the work is this process's, where a launcher has started several.

They share a folder and nothing else: each writes files of its own, and the first one
waits until all others have said that they are done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mmdefect.utils.checks import check_choice
from mmdefect.utils.files import write_text

T = TypeVar('T')

LAUNCHERS = ('none', 'pytorch', 'slurm')
# Number of this process, number of all, number on this machine, and what is the same
# for the processes of a run, and of no other run.
_NAMES = {
    'pytorch': (
        'RANK',
        'WORLD_SIZE',
        'LOCAL_RANK',
        ('MASTER_ADDR', 'MASTER_PORT', 'TORCHELASTIC_RESTART_COUNT'),
    ),
    'slurm': (
        'SLURM_PROCID',
        'SLURM_NTASKS',
        'SLURM_LOCALID',
        ('SLURM_JOB_ID', 'SLURM_STEP_ID'),
    ),
}
_DRIVER = Path('/proc/driver/nvidia/gpus')


@dataclass(frozen=True)
class Share:
    """One of several equal processes.

    Attributes:
        rank: Its number, from 0.
        world: How many there are.
        run: What tells this run from those before it.
    """

    rank: int = 0
    world: int = 1
    run: str = ''

    def of(self, items: Sequence[T]) -> list[T]:
        """Every ``world``-th of the items: neighbours are often of one size."""
        return [*items[self.rank :: self.world]]

    @property
    def name(self) -> str:
        """What the names of its files hold."""
        return f'rank-{self.rank}-of-{self.world}'

    def say_done(self, folder: Path) -> None:
        """Tell the first process that all of this share is written."""
        write_text(folder / f'{self.name}.done', self.run)

    def wait_for_others(self, folder: Path) -> None:
        """Wait until every other process of this run has said that it is done."""
        others = [Share(rank, self.world, self.run) for rank in range(1, self.world)]
        wait_for(lambda: all(other.is_done(folder) for other in others))

    def is_done(self, folder: Path) -> bool:
        """Whether it has said so in this run."""
        file = folder / f'{self.name}.done'
        return file.is_file() and file.read_text(encoding='utf-8') == self.run


def wait_for(there: Callable[[], bool]) -> None:
    """Wait for another process; a launcher ends this one when the other one fails."""
    while not there():
        time.sleep(0.2)


def share_of(launcher: str, environment: Mapping[str, str] | None = None) -> Share:
    """Read from the environment what a launcher has set.

    Args:
        launcher: One of :data:`LAUNCHERS`.
        environment: By default the process's own.

    Raises:
        ValueError: The launcher is unknown, or has not started this process.
    """
    check_choice('launcher', launcher, LAUNCHERS)
    if launcher == 'none':
        return Share()
    environment = os.environ if environment is None else environment
    rank, world, _, same = _NAMES[launcher]
    missing = [name for name in (rank, world) if not environment.get(name)]
    if missing:
        raise ValueError(
            f'launcher={launcher!r}: expected {" and ".join(missing)} in the '
            'environment; start it by tools/dist_predict.sh or tools/slurm_predict.sh'
        )
    run = ':'.join(environment.get(name, '') for name in same)
    return Share(int(environment[rank]), int(environment[world]), run)


def take_gpu(launcher: str, gpus: int | None = None) -> None:
    """Leave this process one GPU of those on its machine, each process another one.

    By ``CUDA_VISIBLE_DEVICES``, which whatever computes reads; so before it is loaded.

    Args:
        gpus: How many there are; by default what the driver says.
    """
    if launcher == 'none':
        return
    number = int(os.environ.get(_NAMES[launcher][2]) or 0)
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    if given is None:
        found = len(list(_DRIVER.glob('*'))) if gpus is None else gpus
        given = ','.join(map(str, range(found)))
    devices = [device for device in given.split(',') if device]
    if devices:
        os.environ['CUDA_VISIBLE_DEVICES'] = devices[number % len(devices)]
