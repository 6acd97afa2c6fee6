"""Several processes write one log; some are killed, some find the disk full."""

from __future__ import annotations

import multiprocessing
import os
import random
import struct
import time
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from mmdefect.line.log import DecisionLog
from tests.helpers.full_disk import full_disk

FORKED = multiprocessing.get_context('fork')


def append_some(log: DecisionLog, name: str, number: int) -> None:
    for at in range(number):
        log.append('note', source=name, score=at, body={'at': at})


def test_feature_two_processes_at_once(tmp_path: Path) -> None:
    """With a log that was opened before the fork: each opens it again."""
    log = DecisionLog(tmp_path / 'l.db')
    others = [
        FORKED.Process(target=append_some, args=(log, name, 150)) for name in 'ab'
    ]
    for one in others:
        one.start()
    append_some(log, 'c', 150)
    for one in others:
        one.join(30)
    assert [one.exitcode for one in others] == [0, 0]
    found = log.verify()
    assert (found.ok, found.rows, found.notes) == (True, 450, ())
    written = Counter((row.source, row.body['at']) for row in log.rows())
    assert written == Counter((name, at) for name in 'abc' for at in range(150))


def append_for_ever(path: Path, told: int) -> None:
    log = DecisionLog(path)
    for at in count():
        row = log.append(
            'decision', score=at, kinds=['dent'], body={'pid': os.getpid()}
        )
        os.write(told, struct.pack('<q', row.id))


def test_feature_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    path, rng = tmp_path / 'l.db', random.Random(0)
    promised: list[int] = []
    for _ in range(10):
        ear, mouth = os.pipe()
        writer = FORKED.Process(target=append_for_ever, args=(path, mouth))
        writer.start()
        os.close(mouth)
        with os.fdopen(ear, 'rb') as told:
            promised += struct.unpack('<q', told.read(8))
            time.sleep(rng.uniform(0, 0.03))
            writer.kill()
            rest = told.read()
        writer.join()
        promised += (one for (one,) in struct.iter_unpack('<q', rest))
    log = DecisionLog(path)
    found = log.verify()
    assert found.ok, found.sentence
    written = Counter((row.body['pid'], row.score) for row in log.rows())
    assert max(written.values()) == 1
    assert promised == sorted({*promised})
    assert {*promised} <= {row.id for row in log.rows()}
    # One that was written, and killed before it could say so, a writer.
    assert len(promised) <= found.rows <= len(promised) + 10


def fill_up(path: Path, told: int) -> None:
    """Write until no file may grow, say what happened, go on when there is room."""
    log = DecisionLog(path)
    log.append('note')
    log.close()
    done, why = 1, ''
    with full_disk(200_000):
        try:
            while True:
                log.append('note', body={'a': 'b' * 1000})
                done += 1
        except OSError as error:
            why = str(error)
        kept = log.count()
    log.append('note')
    os.write(told, f'{done} {kept} {log.count()} {log.verify().ok} {why}'.encode())


def test_exception_a_full_disk(tmp_path: Path) -> None:
    """Nothing of the row is there; what was written stays; it goes on with room."""
    ear, mouth = os.pipe()
    writer = FORKED.Process(target=fill_up, args=(tmp_path / 'l.db', mouth))
    writer.start()
    os.close(mouth)
    with os.fdopen(ear, encoding='utf-8') as told:
        done, kept, after, whole, why = told.read().split(' ', 4)
    writer.join()
    assert writer.exitcode == 0
    assert int(done) == int(kept) > 5
    assert (int(after), whole) == (int(kept) + 1, 'True')
    assert 'l.db cannot be read or written' in why
    assert 'check its rights and the space left' in why


def test_exception_others_hold_it_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmdefect.line.tables.PATIENCE', 0.1)
    one, two = (DecisionLog(tmp_path / 'l.db') for _ in range(2))
    with (
        one._writing(),
        pytest.raises(OSError, match=r'being written by others for more than 0\.1 s'),
    ):
        two.append('note')
    assert two.append('note').id == 1
