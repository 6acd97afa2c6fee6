"""The versions of a line: packages, and the pointer to the one that is in use.

What the log says is what holds. A promotion copies a package to ``versions/v0002.part``
and looks at it; then its row is written, and only then the folder gets its name and the
pointer moves. A kill before the row leaves a draft, which goes; one after it leaves
work that :func:`repair` finishes when the line is opened next. At no moment does
``current`` lead to anything but the old or the new version, whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.deploy.package import FILE as PACKAGE
from mmdefect.deploy.package import Package, read_package
from mmdefect.line import queue
from mmdefect.line.exams import mend, unrecorded
from mmdefect.line.tables import RESTORE
from mmdefect.utils.checks import visible
from mmdefect.utils.files import file_sha256, flush, need_space, write_json
from mmdefect.utils.text_files import read_json

if TYPE_CHECKING:
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row

PROMOTED, REFUSED = 'promoted', 'refused'
"""What rows of promotions say in ``state``."""
UNFINISHED = 'promotion begun, not finished'
"""What the log's note about a draft says that a kill has left."""
_DRAFT = '.part'


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a line, as the row of its promotion has it.

    Attributes:
        name: Such as ``'v0001'``.
        folder: The package.
        time: When it was promoted, UTC.
        source: Path of the package that was given.
        package: SHA-256 of its ``package.json``, which has those of its other files.
        previous: The version before it; None of the first.
        passed: Whether it was within the limits of all exams.
        forced: Whether it was promoted all the same, or by a log that was not whole, or
            without a comparison.
        why: The reason of whoever forced it.
        report: Page of the promotion, relative to the line.
        exams: Of each exam the verdict as plain data.
    """

    name: str
    folder: Path
    time: str
    source: str
    package: str
    previous: str | None
    passed: bool
    forced: bool
    why: str | None
    report: str | None
    exams: Mapping[str, Any]


def read_versions(line: Line) -> list[Version]:
    """All versions by the log, the oldest first; packages that were refused are none.

    Raises:
        ValueError: The log does not know the one in use, or a row lacks something.
    """
    found = [_version(line, row) for row in promotions(line)]
    if not found and (current := pointed_at(line)) is not None:
        raise _unknown(line, current)
    return found


def check_promoted(line: Line, name: str) -> None:
    """Refuse a version whose ``package.json`` is not the one that was promoted.

    That file holds the hashes of the others, which whoever reads the package compares.

    Raises:
        ValueError: It has changed, or the log does not know the version.
    """
    row = promotion_of(line, name)
    if row is None:
        raise _unknown(line, name)
    path = line.versions_dir / name / PACKAGE
    if not path.is_file() or file_sha256(path) != row.body.get('package'):
        raise ValueError(
            f'{path} is not the file that was promoted as {name}: expected SHA-256 '
            f'{str(row.body.get("package"))[:12]}..., as the log has it; restore it '
            f'from {visible(str(row.body.get("source")))} or a backup; without one '
            'use another version, and remove this folder'
        )


def _unknown(line: Line, name: str) -> ValueError:
    return ValueError(
        f'{line.versions_dir / name} is no version that the log knows: expected one '
        f'that was promoted; promote its package, or {RESTORE}'
    )


def copy_in(line: Line, package: Path, name: str) -> Package:
    """Copy a package to the draft of a version.

    Whoever calls holds the line's lock.

    Raises:
        FileNotFoundError: There is no package.
        OSError: It does not fit on the disk.
        ValueError: The package, or its copy, is damaged.
    """
    found = read_package(package)
    size = sum(path.stat().st_size for path in package.rglob('*') if path.is_file())
    cure = 'free some space'
    need_space(line.folder, size, f'a copy of {package}', cure=cure)
    draft = draft_of(line, name)
    shutil.rmtree(draft, ignore_errors=True)
    try:
        shutil.copytree(found.folder, draft)
    except shutil.Error as error:  # of all files that it could not copy
        source, target, why = error.args[0][0]
        raise OSError(
            f'cannot copy {source} to {target} ({why}): expected a file that can be '
            'read and space for it; check its rights, or free some space'
        ) from None
    return read_package(draft)


def next_name(line: Line) -> str:
    """Name of the version that will come next: none is given twice."""
    known = {row.version or '' for row in line.log.rows(kind='promotion')}
    known |= {path.stem for path in line.versions_dir.glob('v[0-9]*')}
    newest = max((int(one[1:]) for one in known if one[1:].isdecimal()), default=0)
    return f'v{newest + 1:04d}'


def draft_of(line: Line, name: str) -> Path:
    """Where the package of a version lies until its row is written."""
    return line.versions_dir / f'{name}{_DRAFT}'


def settle(line: Line, row: Row) -> None:
    """Do what a row of a promotion or a rollback says; again, if it is done already.

    Whoever calls holds the line's lock.
    """
    name = str(row.version)
    folder = line.versions_dir / name
    draft = draft_of(line, name)
    if not folder.is_dir() and draft.is_dir():
        if file_sha256(draft / PACKAGE) != row.body.get('package'):
            return
        draft.rename(folder)
    if row.kind == 'promotion' and folder.is_dir():
        _write_note(line, row)
    if folder.is_dir() and pointed_at(line) != name:
        switch(line, name)


def _write_note(line: Line, row: Row) -> None:
    """Have ``v0001.json`` say what the row says; nobody reads it but people."""
    if not _is_noted(line, row):
        write_json(_note(line, row), _noted(row), lasting=True)


def _is_noted(line: Line, row: Row) -> bool:
    with suppress(OSError, ValueError):
        return bool(read_json(_note(line, row)) == _noted(row))
    return False


def _note(line: Line, row: Row) -> Path:
    return line.versions_dir / f'{row.version}.json'


def _noted(row: Row) -> dict[str, Any]:
    return {
        'format_version': 1,
        'version': row.version,
        'time': row.time,
        **row.body,
    }


def switch(line: Line, name: str) -> None:
    """Have the pointer lead to a version, in one step."""
    if line.pointer.is_dir() and not line.pointer.is_symlink():
        _set_aside(line.pointer)  # a copy that followed links
    draft = line.pointer.with_name('current.tmp')
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path('versions') / name, target_is_directory=True)
    draft.replace(line.pointer)
    flush(line.folder)


def _set_aside(folder: Path) -> None:
    """Rename what stands in the way; nothing is removed."""
    number = 1
    while (aside := folder.with_name(f'{folder.name}.copy{number}')).exists():
        number += 1
    folder.rename(aside)


def pointed_at(line: Line) -> str | None:
    """Where the pointer leads, whether or not that is a version; None if nowhere."""
    with suppress(OSError):
        return line.pointer.readlink().name
    return None


def newest_row(line: Line) -> Row | None:
    """The row of the promotion or rollback that holds."""
    found = [
        next((r for r in line.log.rows(kind=kind, newest=True) if switches(r)), None)
        for kind in ('promotion', 'rollback')
    ]
    return max(filter(None, found), key=lambda row: row.id, default=None)


def promotions(line: Line) -> list[Row]:
    """The rows that have made versions, the oldest first."""
    return [*filter(switches, line.log.rows(kind='promotion'))]


def promotion_of(line: Line, name: str) -> Row | None:
    """The row that has made a version one; None if there is none."""
    rows = line.log.rows(kind='promotion', version=name)
    return next(filter(switches, rows), None)


def repair(line: Line) -> None:
    """Finish what a kill has left half done, or undo it; called when a line is opened.

    Does nothing while another process changes the line, or where it may not be written:
    then whoever may does it.
    """
    with suppress(OSError):
        queue.sweep(line)
        line.images.sweep()
    with suppress(OSError, ValueError):
        if not is_settled(line):
            with line.lock('repair'):
                repair_locked(line)


def is_settled(line: Line) -> bool:
    """Whether the pointer is where the log says, and nothing half done lies about."""
    folders = (line.versions_dir, line.exams_dir, line.reports_dir)
    if not any(path for folder in folders for path in folder.glob('*')):
        return True  # a new line: its log need not be opened
    row = newest_row(line)
    promotion = row and promotion_of(line, str(row.version))
    settled = row is None or (
        pointed_at(line) == row.version
        and (promotion is None or _is_noted(line, promotion))
    )
    return settled and not _drafts(line) and not unrecorded(line)


def repair_locked(line: Line) -> None:
    """See :func:`repair`; whoever calls holds the line's lock."""
    row = newest_row(line)
    if row is not None:
        promotion = promotion_of(line, str(row.version))
        for one in filter(None, [promotion, row]):
            settle(line, one)
    for one in promotions(line):
        if (line.versions_dir / str(one.version)).is_dir():
            _write_note(line, one)
    for draft in _drafts(line):
        shutil.rmtree(draft, ignore_errors=True)
        if draft.parent == line.versions_dir and not draft.exists():
            body = {'what': UNFINISHED, 'version': draft.stem}
            line.log.append('note', body=body)
    mend(line)


def _drafts(line: Line) -> list[Path]:
    """What was being written when something was killed."""
    folders = (line.versions_dir, line.reports_dir)
    return [path for folder in folders for path in folder.glob(f'*{_DRAFT}')]


def switches(row: Row) -> bool:
    """Whether from a row of the log on another version is in use."""
    return row.kind == 'rollback' or row.body.get('state') == PROMOTED


def _version(line: Line, row: Row) -> Version:
    name, content = str(row.version), row.body
    try:
        return Version(
            name=name,
            folder=line.versions_dir / name,
            time=row.time,
            source=content['source'],
            package=content['package'],
            previous=content['from'],
            passed=content['passed'],
            forced=content['forced'],
            why=content['why'],
            report=content['report'],
            exams=dict(content['exams']),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'row {row.id} of the log is not as a promotion writes it ({error}): '
            'expected what `mmdefect line log --kind promotion` shows; run `mmdefect '
            'line verify`'
        ) from None
