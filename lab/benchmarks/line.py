"""What a line costs: a decision that is written down, and questions to a million."""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from lab.reliability import find_tests
from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.deploy import sources
from mmdefect.line import reference
from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote
from mmdefect.line.record import Recorder
from mmdefect.utils.timing import Progress

Measurement = Callable[[Progress | None], dict[str, float]]

KINDS = ('scratch', 'dent', 'crack', 'pore')
PRODUCTS = ('bottle', 'cable', 'plate')
#: Days over which the rows of a log are spread.
DAYS = 90
#: Rows that are written at once.
CHUNK = 10_000
#: Height and width of a picture of the line.
PICTURE = (768, 1024)


class LineSuite:
    """Measurements of a line, one by one.

    Args:
        configs: The folder ``configs`` of this repository; nothing of it is needed.
        pairs: Decisions that are written down, each beside its inference.
        images: Of the exam of a promotion.
        rows: Of the log that questions are asked.

    Attributes:
        comparisons: Name -> what measures it, and what belongs to it.
    """

    dataset = 'drawn images and rows'

    def __init__(
        self,
        *,
        configs: str | Path,
        pairs: int = 1000,
        images: int = 500,
        rows: int = 1_000_000,
    ) -> None:
        self.pairs = pairs
        self.images = images
        self.rows = rows
        self._folder = tempfile.TemporaryDirectory()
        self.comparisons: dict[str, Measurement] = {
            'row_p95_milliseconds': self._deciding,
            'status_seconds': self._status,
            'since_when_seconds': self._since_when,
            'promote_decodes_per_image': self._promoting,
        }

    @property
    def notes(self) -> str:
        """What a reader of the numbers must know."""
        height, width = PICTURE
        return (
            f'Row: {self.pairs:,} pictures of {width} x {height} pixels, each another, '
            'a tenth of them alarms, whose files are kept; the model is a graph of two '
            'operators, so that nothing hides the row. Questions: processes of '
            f'`mmdefect line`, from start to end, the median of five; {self.rows:,} '
            f'rows of {DAYS} days, {len(PRODUCTS)} products and two versions. '
            f'Promotion: two versions on {self.images} such pictures, page included.'
        )

    @property
    def folder(self) -> Path:
        """Where all of it lies until this object goes."""
        return Path(self._folder.name)

    @cached_property
    def packages(self) -> tuple[Path, Path]:
        """Two packages that differ in their threshold."""
        find_tests()
        from tests.helpers.hand_package import hand_package

        first, second = (
            hand_package(self.folder / name, 'maps', thresholds={'bottle': threshold})
            for name, threshold in (('first', 0.7), ('second', 0.72))
        )
        return first.folder, second.folder

    def _deciding(self, progress: Progress | None = None) -> dict[str, float]:
        line = Line.create(self.folder / 'deciding')
        promote(line, self.packages[0])
        inspect = DefectInferencer(line.package(), product='bottle')
        recorder = Recorder(line, version=line.current())
        looking, writing = [], []
        for done, (data, image) in enumerate(pictures(self.pairs), 1):
            begin = time.perf_counter()
            prediction = inspect.predict_one(image)
            between = time.perf_counter()
            note = recorder.record(prediction, data=data, image=image)
            end = time.perf_counter()
            if note is not None:
                raise RuntimeError(f'{note}: expected a disk that has room; free some')
            looking.append(1000 * (between - begin))
            writing.append(1000 * (end - between))
            if progress is not None:
                progress(done, self.pairs)
        return {
            'row_p95_milliseconds': float(np.percentile(writing, 95)),
            'row_median_milliseconds': statistics.median(writing),
            'inference_median_milliseconds': statistics.median(looking),
        }

    @cached_property
    def log(self) -> tuple[Line, dict[str, float]]:
        """A line with all the rows, and what they cost."""
        line = Line.create(self.folder / 'log')
        begin = time.perf_counter()
        for first in range(0, self.rows, CHUNK):
            number = min(CHUNK, self.rows - first)
            line.log.append_many(drawn_rows(first, number, of=self.rows))
        taken = time.perf_counter() - begin
        reference.keep(line, reference.of_log(line, *reference_days()))
        line.log.close()
        return line, {
            'append_rows_per_second': self.rows / taken,
            'log_mb': line.db_path.stat().st_size / 1e6,
        }

    def _status(self, progress: Progress | None = None) -> dict[str, float]:
        line, costs = self.log
        taken = asked('status', line, progress=progress)
        begin = time.perf_counter()
        found = line.verify()
        verifying = time.perf_counter() - begin
        if not found.ok:
            raise RuntimeError(f'{found.sentence}: expected the log as it was written')
        return {'status_seconds': taken, **costs, 'verify_seconds': verifying}

    def _since_when(self, progress: Progress | None = None) -> dict[str, float]:
        line, _ = self.log
        taken = asked('since-when', line, '--kind', KINDS[0], progress=progress)
        return {'since_when_seconds': taken}

    def _promoting(self, progress: Progress | None = None) -> dict[str, float]:
        line = Line.create(self.folder / 'promoting')
        add_exam(line, 'drawn', folder=self._exam())
        promote(line, self.packages[0])
        decoded = mock.Mock(side_effect=sources.decode)
        with mock.patch.object(sources, 'decode', decoded):
            begin = time.perf_counter()
            promote(line, self.packages[1])
            taken = time.perf_counter() - begin
        if progress is not None:
            progress(1, 1)
        if line.current() != 'v0002':
            raise RuntimeError(f'{line.current()}: expected that v0002 is promoted')
        return {
            'promote_decodes_per_image': decoded.call_count / self.images,
            'promote_seconds': taken,
        }

    def _exam(self) -> Path:
        """Pictures as MVTec-AD lays them out; every tenth is defective."""
        test = self.folder / 'exam' / 'bottle' / 'test'
        for number, (data, _) in enumerate(pictures(self.images)):
            kind = test / ('spot' if is_alarm(number) else 'good')
            kind.mkdir(parents=True, exist_ok=True)
            (kind / f'{number:04d}.jpg').write_bytes(data)
        return test.parents[1]


def asked(
    question: str, line: Line, *words: str, progress: Progress | None, times: int = 5
) -> float:
    """Median seconds of a process of ``mmdefect line``, from its start to its end."""
    command = [sys.executable, '-m', 'mmdefect', 'line', question]
    taken = []
    for done in range(1, times + 1):
        begin = time.perf_counter()
        subprocess.run(  # noqa: S603  this Python
            [*command, str(line.folder), *words, '--json'],
            check=True,
            capture_output=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        taken.append(time.perf_counter() - begin)
        if progress is not None:
            progress(done, times)
    return statistics.median(taken)


def is_alarm(number: int) -> bool:
    """Whether a drawn picture or row is defective: every tenth."""
    return number % 10 == 0


def pictures(number: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """JPEG files and their pixels, ``(H, W, 3)``; no two are alike."""
    random = np.random.default_rng(0)
    plate = random.integers(90, 140, (*PICTURE, 3), dtype=np.uint8)
    plate = cv2.GaussianBlur(plate, (0, 0), 2)
    for place in range(number):
        image = np.roll(plate, (7 * place, 11 * place), axis=(0, 1))
        if is_alarm(place):
            image[300:400, 400:500] = 230
        image[8:16, 8:16] = place % 251, place // 251 % 251, 128
        data = cv2.imencode('.jpg', image)[1].tobytes()
        yield data, image


def drawn_rows(first: int, number: int, *, of: int) -> Iterator[dict[str, Any]]:
    """Rows of a log: decisions, and a verdict after every hundredth.

    Args:
        first: Number of the first one.
        number: How many.
        of: How many there are in all, over :data:`DAYS` days.
    """
    random = np.random.default_rng(first)
    scores = random.gamma(9, 0.03, number)
    values = random.normal((120, 300), (8, 40), (number, 2))
    for place in range(number):
        at = first + place
        if at % 100 == 99:
            yield _verdict(at, of)
            continue
        kinds = _found(at, of)
        yield dict(
            kind='decision',
            **_whose(at, of),
            source=f'camera/{at:07d}.jpg',
            decision='defective' if kinds else 'ok',
            score=float(scores[place]) + 0.5 * bool(kinds),
            threshold=0.6,
            kinds=kinds,
            body=dict(
                task='boxes',
                size=[1024, 768],
                calibrated=True,
                brightness=round(float(values[place, 0]), 2),
                sharpness=round(float(values[place, 1]), 2),
                boxes=[dict(box=[10.0, 20.0, 50.0, 60.0], name=kind) for kind in kinds],
            ),
        )


def _verdict(at: int, of: int) -> dict[str, Any]:
    """Of an image just before; of the second version some say that it missed one."""
    missed = at >= of // 2 and at % 200 == 199
    before = _whose(at - (98 if missed else 9), of)
    kinds = (KINDS[at // 200 % len(KINDS)],) if missed else ()
    return dict(
        kind='verdict',
        **{**before, 'time': _whose(at, of)['time']},
        decision='missed' if missed else 'confirmed',
        kinds=kinds,
        body=dict(by='bench', things=[dict(name=kind, box=None) for kind in kinds]),
    )


def _found(at: int, of: int) -> tuple[str, ...]:
    """By the first version also what the second one misses on the same images."""
    lost = at < of // 2 and at % 200 == 101
    return (KINDS[at // 200 % len(KINDS)],) if lost or is_alarm(at) else ()


def _whose(at: int, of: int) -> dict[str, Any]:
    again = at % 50 == 1 and at >= of // 2  # both versions look at some
    image = at - of // 2 if again else at
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return dict(
        time=start + timedelta(days=DAYS * at / of),
        version='v0001' if at < of // 2 else 'v0002',
        product=PRODUCTS[at % len(PRODUCTS)],
        image=hashlib.sha256(str(image).encode()).hexdigest(),
    )


def reference_days() -> tuple[str, str]:
    """One week of each version."""
    middle = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(days=DAYS // 2)
    return (
        (middle - timedelta(days=7)).date().isoformat(),
        (middle + timedelta(days=7)).date().isoformat(),
    )
