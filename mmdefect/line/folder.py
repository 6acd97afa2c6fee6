"""The folder that a line is."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from mmdefect.line import sealing
from mmdefect.line.images import ImageStore, file_name
from mmdefect.line.lock import locked
from mmdefect.line.log import DecisionLog, Verified
from mmdefect.line.settings import FILE, LineSettings, read_settings
from mmdefect.line.versions import check_promoted, newest_row, repair
from mmdefect.utils.checks import check_type, visible
from mmdefect.utils.files import new_folder

VERSION = re.compile(r'v\d{4,}')
FOLDERS = ('versions', 'exams', 'queue', 'images', 'reports')


class Line:
    """A line: versions, exams, decisions, pictures and what is to be looked at.

    Args:
        folder: That :meth:`create` has made.

    Attributes:
        folder: Where it lies.
        settings: What ``line.json`` says.

    Raises:
        FileNotFoundError: There is no such folder, or it is no line.
        ValueError: Its settings mean nothing, or are of a newer version.

    Example:
        >>> line = Line.create('my_line')  # doctest: +SKIP
        >>> line.current() is None  # doctest: +SKIP
        True
    """

    def __init__(self, folder: str | Path) -> None:
        check_type('line', folder, str | Path, expected='the folder of a line')
        self.folder = Path(folder).absolute()
        if not is_line(folder):
            there = 'is no line' if self.folder.is_dir() else 'does not exist'
            raise FileNotFoundError(
                f'{visible(str(folder))} {there} (no {FILE}): expected the folder that '
                '`mmdefect line init` has made; check the path, or make one'
            )
        self.settings = read_settings(self.folder)
        repair(self)

    @classmethod
    def create(
        cls, folder: str | Path, *, settings: LineSettings | None = None
    ) -> Line:
        """Make a line: all of the folder, or nothing.

        Raises:
            FileExistsError: The folder holds something.
            ValueError: It is inside of another line.
            OSError: It cannot be written.
        """
        folder = Path(folder).absolute()
        refuse_inside(folder)
        with new_folder(folder, cure='choose another') as draft:
            for name in FOLDERS:
                (draft / name).mkdir()
            DecisionLog(draft / 'decisions.db').close()
            (settings or LineSettings()).save(draft)
        return cls(folder)

    @property
    def versions_dir(self) -> Path:
        """One package a version."""
        return self.folder / 'versions'

    @property
    def exams_dir(self) -> Path:
        """One frozen test set a folder."""
        return self.folder / 'exams'

    @property
    def queue_dir(self) -> Path:
        """What a person has to look at."""
        return self.folder / 'queue'

    @property
    def images_dir(self) -> Path:
        """Pictures that are kept."""
        return self.folder / 'images'

    @property
    def reports_dir(self) -> Path:
        """What promotions have shown."""
        return self.folder / 'reports'

    @property
    def db_path(self) -> Path:
        """The log's file."""
        return self.folder / 'decisions.db'

    @property
    def pointer(self) -> Path:
        """A link to the version in use; not there before the first promotion."""
        return self.folder / 'current'

    @cached_property
    def log(self) -> DecisionLog:
        """All that has happened; opened when it is asked for."""
        return DecisionLog(self.db_path)

    @cached_property
    def images(self) -> ImageStore:
        """The pictures that are kept."""
        return ImageStore(
            self.images_dir,
            keep_bytes=(
                int(1e9 * self.settings.keep_gb)
                if self.settings.keep_images == 'newest'
                else None
            ),
            is_needed=self.is_needed,
        )

    def is_queued(self, image: str) -> bool:
        """Whether a person has still to look at an image, by its hash."""
        return (self.queue_dir / f'{file_name(image)}.json').exists()

    def is_needed(self, image: str) -> bool:
        """Whether the picture of an image must stay: it is queued, or has a verdict."""
        reviewed = self.log.count(kind='verdict', image=image)
        return reviewed > 0 or self.is_queued(image)

    def current(self) -> str | None:
        """The version in use, such as ``'v0001'``; None before the first promotion.

        Raises:
            ValueError: The pointer leads to none.
        """
        try:
            name = self.pointer.readlink().name
        except FileNotFoundError:
            return None
        except OSError:  # no link
            name = ''
        if not VERSION.fullmatch(name) or not (self.versions_dir / name).is_dir():
            raise ValueError(
                f'{self.pointer} leads to no version of the line: expected a link to '
                'one in versions/; restore it, choose another with `mmdefect line '
                'rollback`, or promote a package with --force --why "..."'
            )
        return name

    def package(self, version: str | None = None) -> Path:
        """The folder of a version, whose ``package.json`` is the one that was promoted.

        Args:
            version: By default the one in use.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It has changed since, or was never promoted.
        """
        version = version or self.current()
        if version is None:
            raise FileNotFoundError(
                f'{self.folder} has no version yet: expected one; give it a package '
                'with `mmdefect line promote`'
            )
        folder = self.versions_dir / version
        if not VERSION.fullmatch(version) or not folder.is_dir():
            raise FileNotFoundError(
                f'{self.folder} has no version {visible(version)}: expected one that '
                '`mmdefect line versions` lists, and its folder; choose another, or '
                'restore it'
            )
        if self._knows_versions():
            check_promoted(self, version)
        return folder

    def _knows_versions(self) -> bool:
        """Whether the log can be read, and tells of packages.

        It cannot on a full disk; then ``on_full_disk`` says what becomes of decisions.
        """
        try:
            return newest_row(self) is not None
        except OSError:
            return False

    def version_of(self, package: str | Path) -> str | None:
        """Which version of the line a folder is; None if it is none."""
        folder = Path(package).resolve()
        if folder.parent != self.versions_dir.resolve():
            return None
        return folder.name if VERSION.fullmatch(folder.name) else None

    def lock(self, what: str) -> AbstractContextManager[None]:
        """Keep the line for a block, as ``with line.lock('promote'):``.

        Raises:
            ValueError: Another has it; when the block is entered.
        """
        return locked(self.folder / 'lock', what)

    def head(self) -> dict[str, Any] | None:
        """The newest row that was seen whole: its ``id`` and ``hash``.

        Raises:
            ValueError: The file is damaged.
        """
        return sealing.read_head(self)

    def verify(self) -> Verified:
        """Read the whole log, and remember its newest row if all of it is right.

        And whether the packages that are there are those that were promoted. What was
        found stands in ``verified.json``, for `mmdefect line status`.

        Raises:
            OSError: The log cannot be read at all.
            ValueError: ``head.json`` or ``verified.json`` is damaged.
        """
        return sealing.verify(self)

    def seal(self) -> None:
        """Remember the newest row: a log that ends before it has lost some.

        Called by :meth:`verify`, and before and after each promotion and rollback.

        Raises:
            ValueError: The row that was remembered before is gone from the log.
        """
        sealing.seal(self)


def refuse_inside(folder: Path) -> None:
    """Refuse a place in the folder of a line, which holds its own alone.

    Raises:
        ValueError: There is a line above it.
    """
    for parent in folder.resolve().parents:
        if is_line(parent):
            raise ValueError(
                f'{folder} is inside of the line {parent}: expected a folder of its '
                'own; choose another'
            )


def is_line(folder: str | Path) -> bool:
    """Whether a folder is a line."""
    return (Path(folder) / FILE).is_file()
