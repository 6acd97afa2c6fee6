"""What a line does by itself: which pictures it keeps, what is looked at by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from mmdefect.utils.checks import (
    brief,
    check_choice,
    check_number,
    check_range,
    check_type,
    some_of,
)
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

FILE = 'line.json'
FORMAT_VERSION = 1
# A petabyte: more bytes than a float can count are none that a disk has.
_MOST_GB = 1_000_000
KeepImages = Literal['none', 'alarms', 'all', 'newest']
OnFullDisk = Literal['refuse', 'serve']
T = TypeVar('T')


@dataclass(frozen=True, kw_only=True)
class QueueRule:
    """Which results are put before a person.

    Args:
        margin: Scores this near to their threshold: the distance from it, divided by
            its size, is at most so much. 0 for none but equal ones.
        unknown_product: Images of a product that the model does not know.
        limit: How many images wait at most; later ones are not taken until some are
            done.

    Raises:
        ValueError: A value means nothing.
    """

    margin: float = 0.1
    unknown_product: bool = True
    limit: int = 1000

    def __post_init__(self) -> None:
        check_number('queue.margin', self.margin, 0, 1)
        _check_flag('queue.unknown_product', self.unknown_product)
        check_number('queue.limit', self.limit, 0, whole=True)


@dataclass(frozen=True, kw_only=True)
class DriftBands:
    """From when on a day is said to differ from the reference; see :mod:`.traces`.

    Args:
        psi: A population stability index above it is a difference that matters; 0.25
            is the convention for a large one, 0.1 for a small one.
        ks_p: Chance of a false alarm of one measure over 30 days; a day is tested
            (Kolmogorov-Smirnov, binomial) at a thirtieth of it.
        window_days: Days that are looked at together.
        least: Images of a window, and of the reference; with fewer nothing is said.
        alarms: By how much a share, of alarms or of unknown products, may lie beside
            what the reference allows: a difference that does not matter.

    Raises:
        ValueError: A value means nothing.
    """

    psi: float = 0.25
    ks_p: float = 0.01
    window_days: int = 1
    least: int = 50
    alarms: float = 0.02

    def __post_init__(self) -> None:
        check_number('drift.psi', self.psi, 0)
        check_number('drift.ks_p', self.ks_p, 0, 1)
        check_number('drift.window_days', self.window_days, 1, 366, whole=True)
        check_number('drift.least', self.least, 1, whole=True)
        check_number('drift.alarms', self.alarms, 0, 1)


@dataclass(frozen=True, kw_only=True)
class LineSettings:
    """What ``line.json`` holds.

    Args:
        keep_images: Which pictures are kept beside their decisions: ``'none'``,
            ``'alarms'`` (all that are not ok), ``'all'``, or ``'newest'``. What is in
            the queue is kept in any case: it could not be looked at otherwise.
        keep_gb: Of ``'newest'``: how many gigabytes (10^9 bytes) of pictures.
        on_full_disk: What becomes of a decision that cannot be written down:
            ``'refuse'`` it, or ``'serve'`` it with a note that says so.
        queue: What a person has to look at.
        drift: From when on a day is said to differ.

    Raises:
        ValueError: A value means nothing.
    """

    keep_images: KeepImages = 'alarms'
    keep_gb: float = 5.0
    on_full_disk: OnFullDisk = 'refuse'
    queue: QueueRule = field(default_factory=QueueRule)
    drift: DriftBands = field(default_factory=DriftBands)

    def __post_init__(self) -> None:
        check_choice('keep_images', self.keep_images, get_args(KeepImages))
        check_number('keep_gb', self.keep_gb, 0)
        check_range('keep_gb', self.keep_gb, high=_MOST_GB)
        check_choice('on_full_disk', self.on_full_disk, get_args(OnFullDisk))

    def save(self, folder: Path) -> None:
        """Write ``line.json`` in one piece."""
        content = {'format_version': FORMAT_VERSION, **asdict(self)}
        write_json(folder / FILE, content, lasting=True)


def read_settings(folder: Path) -> LineSettings:
    """Read ``line.json``; what it leaves out has its default.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is of a newer version, or an entry is unknown or means nothing.
    """
    path = folder / FILE
    content = read_json(path, 'file with the settings of a line')
    version = content.pop('format_version', None)
    if type(version) is not int or version < 1:
        raise ValueError(
            f'{path} has format_version={brief(version)}: expected what `mmdefect line '
            'init` writes; check where it comes from'
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f'{path} has format_version={version}: expected at most {FORMAT_VERSION}, '
            'it is of a newer mmdefect; update mmdefect'
        )
    try:
        for name, kind in (('queue', QueueRule), ('drift', DriftBands)):
            if name in content:
                content[name] = _built(kind, content[name], name)
        return _built(LineSettings, content, '')
    except ValueError as error:
        raise ValueError(f'{path}: {error}; correct it') from None


def _built(kind: type[T], content: Any, name: str) -> T:
    check_type(name, content, Mapping, expected='an object')
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    if unknown := sorted({*content} - {*known}):
        raise ValueError(
            f'{name + "." if name else ""}{some_of(unknown)}: expected some of '
            f'{", ".join(known)}'
        )
    return kind(**content)


def _check_flag(name: str, value: Any) -> None:
    check_type(name, value, bool, expected='true or false')
