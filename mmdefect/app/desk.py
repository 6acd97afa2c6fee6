"""What the page is about: a line with its versions, or one model."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.app.exam_scores import (
    NO_SCORES,
    Scores,
    exam_scores,
    keep_scores,
    read_scores,
)
from mmdefect.deploy.package import FILE as PACKAGE
from mmdefect.deploy.tiling import calibrated_tile
from mmdefect.line.exam import FILE as EXAM
from mmdefect.line.folder import VERSION, Line, is_line
from mmdefect.line.opening import open_version
from mmdefect.utils.checks import visible
from mmdefect.utils.files import file_sha256

#: Models that stay open: two to compare, and the one that looks.
OPEN = 3


class Desk:
    """Opens the versions of a line, or the one model, when they are asked for.

    May be used from several threads.

    Args:
        path: Folder of a line, or what :class:`.DefectInferencer` opens.
        device: ``'auto'``, ``'cpu'``, ``'cuda:1'`` ...

    Attributes:
        line: None for a model without one.

    Raises:
        FileNotFoundError: There is no such line or model.
        ValueError: It cannot be opened.

    Example:
        >>> desk = Desk('my_line')  # doctest: +SKIP
        >>> desk.model(desk.versions()[0]).predict_one('part.png')  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, device: str = 'auto') -> None:
        self.path = Path(path)
        self.device = device
        if not self.path.exists():
            raise FileNotFoundError(
                f'{visible(str(path))} does not exist: expected the folder of a line, '
                'a work dir, a config or a package; check the path'
            )
        self.line = Line(path) if is_line(path) else None
        self._opened: OrderedDict[str, DefectInferencer] = OrderedDict()
        self._scores: dict[tuple[str, ...], dict[str, Scores]] = {}
        self._lock = Lock()
        if self.line is None:
            self.model()  # what is wrong with it is said before there is a page

    @property
    def name(self) -> str:
        """Of the line or the model, for a title."""
        return self.path.absolute().name

    def versions(self) -> list[str]:
        """Names of the versions, the newest first; of a model its own."""
        if self.line is None:
            return [self.name]
        found = [one.name for one in self.line.versions_dir.iterdir() if one.is_dir()]
        return sorted(filter(VERSION.fullmatch, found), key=_age, reverse=True)

    def current(self) -> str | None:
        """The version in use; None of a line that has none yet."""
        return self.name if self.line is None else self.line.current()

    def before(self) -> str | None:
        """A version to compare the one in use with: the next older, else the newest."""
        names, current = self.versions(), self.current()
        at = names.index(current) if current in names else -1
        return next(iter([*names[at + 1 :], *names]), None)

    def model(self, version: str | None = None) -> DefectInferencer:
        """Open a version, by default the one in use.

        Raises:
            FileNotFoundError: The line has no version yet, or not this one.
            ValueError: It cannot be opened.
        """
        folder = self.path if self.line is None else self.line.package(version)
        with self._lock:
            if folder.name not in self._opened:
                opened = DefectInferencer if self.line is None else open_version
                self._opened[folder.name] = opened(folder, device=self.device)
            self._opened.move_to_end(folder.name)
            while len(self._opened) > OPEN:
                self._opened.popitem(last=False)
            return self._opened[folder.name]

    def exams(self) -> list[str]:
        """Names of the line's exams; none of a model."""
        if self.line is None:
            return []
        return sorted(
            path.parent.name for path in self.line.exams_dir.glob(f'*/{EXAM}')
        )

    def scores(self, exam: str | None, version: str | None, name: str) -> Scores:
        """Scores of a class or product in an exam, as far as it was looked at.

        None without a line, and before :meth:`examine`.
        """
        if self.line is None or exam is None:
            return NO_SCORES
        found = self._stored(exam, self.line.package(version)) or {}
        return found.get(name, NO_SCORES)

    def is_examined(self, exam: str | None, version: str | None) -> bool:
        """Whether there is nothing to look at: no exam, or all of it is known."""
        if self.line is None or exam is None:
            return True
        return self._stored(exam, self.line.package(version)) is not None

    def examine(self, exam: str, version: str | None) -> None:
        """Let a version look at an exam, and keep the scores in ``scores/``.

        Raises:
            ValueError: The exam has changed, or is of another task.
        """
        if self.line is None:
            return
        from mmdefect.line.exam import Exam

        package = self.line.package(version)
        found = exam_scores(Exam.open(self.line.exams_dir / exam), self.model(version))
        keep_scores(self._file(exam, package), found, self._of(exam, package))

    def _stored(self, exam: str, package: Path) -> dict[str, Scores] | None:
        """Scores of an exam; None if it was not looked at."""
        if not (self.path / 'exams' / exam / EXAM).is_file():  # it was retired
            return None
        of = self._of(exam, package)
        key = (exam, package.name, *of)
        if key not in self._scores:
            found = read_scores(self._file(exam, package), of)
            if found is None:
                return None
            self._scores[key] = found
        return self._scores[key]

    def _file(self, exam: str, package: Path) -> Path:
        return self.path / 'scores' / f'{exam}-{package.name}.json'

    def _of(self, exam: str, package: Path) -> list[str]:
        """Hashes of an exam and a package: scores are of both, and of the tiles."""
        described = (self.path / 'exams' / exam / EXAM, package / PACKAGE)
        tile = calibrated_tile(self.model(package.name).spec)
        tiles = [] if tile is None else [f'in tiles of {tile}']
        return [*(file_sha256(one) for one in described), *tiles]


def _age(version: str) -> int:
    return int(version[1:])
