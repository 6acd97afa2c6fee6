"""Fifty kills at random moments of what changes a line: nothing is lost or doubled.

Slow: each kill is of a process of its own, and the line is read whole after each.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pytest

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.cli.main import main
from mmdefect.deploy.package import read_package
from mmdefect.line import queue
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote, rollback
from mmdefect.line.record import Recorder
from mmdefect.line.settings import LineSettings, QueueRule
from mmdefect.line.verdicts import give
from mmdefect.line.versions import UNFINISHED
from mmdefect.utils.files import file_sha256
from tests.helpers import exam_toys as toys

KILLS = 50
SETTINGS = LineSettings(keep_images='all', queue=QueueRule(limit=100_000))
#: Brightness of images in turn: ok, near to the threshold on both sides, defective.
VALUES = (0, 126, 130, 250)
Say: TypeAlias = Callable[[Any], None]


@dataclass
class Place:
    """A line, and what the processes that are killed work with.

    Attributes:
        folder: With the line, packages and images.
        turn: How often one was killed.
        newest: Id of the newest row of the log.
        current: The version in use.
        pace: Of each act, the seconds that it takes once.
    """

    folder: Path
    turn: int = 0
    newest: int = 0
    current: str = 'v0001'
    pace: dict[str, float] = field(default_factory=dict)

    @property
    def line(self) -> Path:
        return self.folder / 'line'

    @property
    def results(self) -> Path:
        """Of `mmdefect predict` in this turn."""
        return self.folder / f'inspected{self.turn}'

    def image(self, number: int) -> np.ndarray:
        """One that differs from all others in a pixel."""
        image = np.full((16, 32, 3), (VALUES[number % len(VALUES)], 0, 0), np.uint8)
        image[0, 0] = (self.turn, number % 256, number // 256)
        return image

    def photographs(self) -> Path:
        folder = self.folder / f'photos{self.turn}'
        folder.mkdir()
        for number in range(24):
            assert cv2.imwrite(str(folder / f'{number:02d}.png'), self.image(number))
        return folder


def promoting(place: Place, say: Say) -> None:
    line = Line(place.line)
    for name in cycle(['first', 'second']):
        # A kill may have left the same one in use.
        say(promote(line, place.folder / name, force=True, why='a test').version)


def going_back(place: Place, say: Say) -> None:
    line = Line(place.line)
    for name in cycle(['v0001', 'v0002']):
        if name != line.current():
            say(rollback(line, name))


def recording(place: Place, say: Say, most: int | None = None) -> None:
    """As a server does."""
    line = Line(place.line)
    recorder = Recorder(line, version=line.current())
    inspect = DefectInferencer(line.package())
    for number in count() if most is None else range(most):
        image = place.image(number)
        data = cv2.imencode('.png', image)[1].tobytes()
        (found,) = inspect([image])
        name = f'{place.turn}/{number}'
        assert recorder.record(found, data=data, image=image, source=name) is None
        say(name)


def predicting(place: Place, say: Say) -> None:
    """What it says are its results, a line each."""
    words = ['predict', '--line', str(place.line), str(place.photographs())]
    assert main([*words, '--out', str(place.results)]) == 0
    signal.pause()


def reviewing(place: Place, say: Say) -> None:
    line = Line(place.line)
    found = [one for one in queue.entries(line) if one.decision == 'defective']
    for verdict in cycle(['confirmed', 'false alarm']):
        for one in found:
            say(give(line, one.image, verdict).id)
        assert found


#: What is killed: the kind of the rows that it writes, and what is said of a row.
ACTS: dict[Callable[[Place, Say], None], tuple[Any, str]] = {
    promoting: ('promotion', 'version'),
    recording: ('decision', 'source'),
    going_back: ('rollback', 'version'),
    predicting: ('decision', 'source'),
    reviewing: ('verdict', 'id'),
}


def run(act: Callable[[Place, Say], None], place: Place, mouth: int) -> None:
    """What a process does until it is killed."""
    try:
        with os.fdopen(mouth, 'w', encoding='utf-8') as told, redirect_stdout(told):
            print('begun', flush=True)
            act(place, lambda fact: print(json.dumps(fact), flush=True))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def killed(
    act: Callable[[Place, Say], None], place: Place, rng: random.Random
) -> list[Any]:
    """What a process had said when it was killed, at a random moment of its work."""
    ear, mouth = os.pipe()
    child = os.fork()
    if not child:
        run(act, place, mouth)
    os.close(mouth)
    steps, part = rng.randrange(4), rng.random()
    with os.fdopen(ear, encoding='utf-8') as told:
        told.readline()
        begun = time.monotonic()
        said = [told.readline() for _ in range(steps)]
        if steps:
            place.pace[act.__name__] = (time.monotonic() - begun) / steps
        time.sleep(part * place.pace.get(act.__name__, 0.1))
        os.kill(child, signal.SIGKILL)
        said += told
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), act.__name__
    if act is not predicting:
        return [json.loads(one) for one in said if one.endswith('\n')]
    file = place.results / 'results.jsonl'
    lines = file.read_text(encoding='utf-8').splitlines(True) if file.is_file() else []
    return [json.loads(one)['source'] for one in lines if one.endswith('\n')]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A line with two versions, whose exam both pass, and a full queue."""
    line = toys.boxes_line(tmp_path, dents=2, cracks=2, good=1)
    SETTINGS.save(line.folder)
    promote(line, toys.box_package(tmp_path / 'second'))
    made = Place(tmp_path, turn=KILLS, current='v0002')
    # Each turn of reviews takes some out again, few turns of the others put some in.
    recording(made, lambda _: None, most=240)
    made.newest = line.log.count()
    return made


def check(place: Place, act: Callable[[Place, Say], None], said: list[Any]) -> None:
    """The line is whole, and has all that was said, once."""
    kind, column = ACTS[act]
    pointer = (place.line / 'current').readlink()
    read_package(place.line / pointer)  # before anybody has opened the line: whole
    line = Line(place.line)
    found = line.verify()
    assert found.ok, found.sentence
    rows = [row for row in line.log.rows() if row.id > place.newest]
    if act is reviewing:
        # A kill between a verdict's row and its entry in the queue: to say the same
        # once more is that row.
        said = [one for one in said if one > place.newest]
    written = [getattr(row, column) for row in rows if row.kind == kind]
    assert written[: len(said)] == said  # in its order, too
    assert len({*written}) == len(written) or act is going_back
    assert len(written) <= len(said) + 1
    others = [row.body.get('what') for row in rows if row.kind != kind]
    assert others in ([], [UNFINISHED] if act is promoting else [])
    switched = [row.version for row in rows if row.kind in ('promotion', 'rollback')]
    versions = [place.current, *switched]
    assert line.current() == versions[-1]
    assert pointer.name in versions[-2:]
    _check_files(line)
    place.newest, place.current = place.newest + len(rows), versions[-1]
    for row in (row for row in rows if row.kind == 'decision'):
        picture = line.images.find(row.image)
        assert picture is not None
        assert file_sha256(picture) == row.image
    for row in rows[: len(said)]:
        assert line.is_queued(row.image or '0' * 64) == ('queued' in row.body)


def _check_files(line: Line) -> None:
    """Nothing half done lies about, and each version is there."""
    drafts = [p for p in line.folder.rglob('*') if p.suffix in ('.part', '.tmp')]
    assert not drafts
    names = {row.version for row in line.log.rows(kind='promotion')}
    there = {path.name for path in line.versions_dir.iterdir()}
    assert there == {*names, *(f'{name}.json' for name in names)}


@pytest.mark.slow
def test_feature_kills_at_random_moments(place: Place) -> None:
    rng = random.Random(0)
    done: dict[str, int] = {}
    for place.turn, act in zip(range(KILLS), cycle(ACTS)):
        said = killed(act, place, rng)
        check(place, act, said)
        done[act.__name__] = done.get(act.__name__, 0) + len(said)
    assert min(done.values()) > 0, done
    # It works on as if nothing had been.
    line = Line(place.line)
    assert promote(line, place.folder / 'first', force=True, why='a test').passed
    assert rollback(line) == place.current
    assert line.verify().ok
