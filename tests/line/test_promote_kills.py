"""Killed at random moments of promote, append and rollback: nothing lost or doubled.

Fifty kills take half a minute, most of it waiting for their moments.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from mmdefect.deploy.package import read_package
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote, rollback
from mmdefect.line.versions import is_settled, read_versions
from tests.helpers import exam_toys as toys


def work(folder: Path, package: Path, answered: Path) -> None:
    """Promote, decide and go back until the end; decisions are counted when written."""
    line = Line(folder)
    with answered.open('a', encoding='utf-8') as file:
        while True:
            # A kill may have left the same one in use.
            promote(line, package, force=True, why='a test')
            number = line.log.count(kind='decision')
            line.log.append('decision', version=line.current(), source=str(number))
            file.write(f'{number}\n')
            file.flush()
            rollback(line)


def killed(folder: Path, package: Path, answered: Path, after: float) -> None:
    """Let another process work, and kill it."""
    child = os.fork()
    if not child:
        try:
            work(folder, package, answered)
        finally:
            os._exit(1)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), 'it ended by itself'


def check_whole(folder: Path) -> None:
    read_package(folder / 'current')  # before anything is repaired
    line = Line(folder)
    assert is_settled(line)
    assert line.verify().ok
    promoted = [str(row.version) for row in line.log.rows(kind='promotion')]
    assert len(promoted) == len(set(promoted))
    assert [one.name for one in read_versions(line)] == promoted
    folders = {path.name for path in line.versions_dir.iterdir() if path.is_dir()}
    assert folders == set(promoted)
    for name in promoted[-3:]:
        read_package(line.versions_dir / name)


@pytest.mark.parametrize('kills', [3, pytest.param(50, marks=pytest.mark.slow)])
def test_feature_random_kills(tmp_path: Path, kills: int) -> None:
    line = toys.boxes_line(tmp_path, dents=1, cracks=1, good=0)
    package, answered = toys.box_package(tmp_path / 'second'), tmp_path / 'answered'
    begun = time.monotonic()
    promote(line, package)
    round_trip = time.monotonic() - begun
    line.log.close()
    draw = random.Random(kills)
    for _ in range(kills):
        killed(line.folder, package, answered, draw.uniform(0, 4 * round_trip))
        check_whole(line.folder)
    decided = [int(str(row.source)) for row in line.log.rows(kind='decision')]
    assert decided == [*range(len(decided))]
    said = [int(text) for text in answered.read_text(encoding='utf-8').split()]
    assert set(said) <= set(decided)
    assert line.log.count(kind='rollback') > 1 or kills < 50
