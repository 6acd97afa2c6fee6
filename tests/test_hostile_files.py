"""Files that are broken, or made to do harm: none runs, hangs or fills the memory."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmdefect.visualization.page import Table, markdown_table
from tests.conftest import REPO
from tests.helpers.hostile_file import EXECUTED, Hostile
from tests.helpers.hostile_files import MARKS, every, shortened

FILES = every()
LIMIT_S, LIMIT_BYTES = 10, 1 << 30


def as_cell(text: str) -> str:
    return markdown_table(Table(('x',), [(text,)], ())).splitlines()[-1].strip('| ')


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Of the processor; and of the clock, for what waits, on a busy machine."""

    def stop(*_: object) -> None:
        raise TimeoutError

    timers = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
    before = {number: signal.signal(number, stop) for number in timers.values()}
    for timer in timers:
        signal.setitimer(timer, seconds if timer == signal.ITIMER_PROF else 60)
    try:
        yield
    finally:
        for timer, number in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def memory(name: str) -> int:
    """Bytes of this process: `VmRSS` now, `VmHWM` the most since it was reset."""
    for line in Path('/proc/self/status').read_text(encoding='utf-8').splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def reset_peak() -> None:
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError as error:
        pytest.skip(f'the peak of the memory cannot be reset here: {error}')


@pytest.fixture(scope='module')
def documented() -> dict[tuple[str, str], str]:
    """What the documentation says of each file."""
    text = (REPO / 'docs/reliability.md').read_text(encoding='utf-8')
    table = text.partition(MARKS[0])[2].partition(MARKS[1])[0]
    rows = [line.split(' | ') for line in table.splitlines() if line.startswith('| ')]
    return {(a.strip('| '), b.strip()): c.strip('| ') for a, b, c in rows[2:]}


def test_smoke_many_files(documented: dict[tuple[str, str], str]) -> None:
    assert len(FILES) >= 60
    assert len(documented) == len(FILES)
    assert len({(one.group, one.about) for one in FILES}) == len(FILES)


@pytest.mark.parametrize(
    'one', FILES, ids=[f'{n} {one.group}: {one.about}' for n, one in enumerate(FILES)]
)
def test_exception_one_sentence(
    one: Hostile,
    tmp_path: Path,
    documented: dict[tuple[str, str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    reset_peak()
    before = memory('VmRSS')
    with within(LIMIT_S):
        said = one.said(tmp_path)
    assert memory('VmHWM') - before < LIMIT_BYTES
    assert not (tmp_path / EXECUTED).exists()
    assert said == 'read' or str(tmp_path) in said
    assert documented[one.group, one.about] == as_cell(shortened(said, tmp_path))
