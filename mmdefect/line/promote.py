"""A new version behind a gate: promoted, or refused with the table; and back again."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.deploy.package import FILE, Package, read_package
from mmdefect.deploy.progress import Progress
from mmdefect.deploy.saving import file_stem
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.candidate import check_candidate, refuse_same, spec_of
from mmdefect.line.exam import Exam
from mmdefect.line.examine import look, result_of
from mmdefect.line.exams import check_reason, open_exams
from mmdefect.line.gate import Verdict, compare
from mmdefect.line.gate_page import Changes, write_gate_page
from mmdefect.line.opening import open_version
from mmdefect.line.sealing import check_log, seal
from mmdefect.line.versions import (
    PROMOTED,
    REFUSED,
    copy_in,
    draft_of,
    newest_row,
    next_name,
    pointed_at,
    promotion_of,
    repair_locked,
    settle,
)
from mmdefect.utils.checks import some_of
from mmdefect.utils.files import file_sha256, new_folder

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer
    from mmdefect.line.folder import Line

_FRESH = 'there is no old version: only limits that are rates hold'
_BARE = 'the line has no exam: nothing is proved'


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What came of a package.

    Attributes:
        version: What it has become, ``None`` if it was refused.
        previous: The version that was in use before.
        passed: Whether all exams are within their limits.
        forced: Whether it was promoted all the same, or by a log that is not whole, or
            without a comparison with the version in use, which is damaged, or as that
            version once more.
        verdicts: Of each exam.
        notes: What else has to be known, in sentences.
        report: The page, with the table and pictures of what changed.
    """

    version: str | None
    previous: str | None
    passed: bool
    forced: bool
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    report: Path

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not pass, one sentence each."""
        return tuple(why for verdict in self.verdicts for why in verdict.reasons)


def promote(
    line: Line,
    package: str | Path,
    *,
    force: bool = False,
    why: str | None = None,
    show_progress: bool = False,
) -> Promotion:
    """Put a package behind the gate: examine it beside the version that is in use.

    If every exam is within its limits, the package is the current version when this
    returns; if not, nothing has changed but the log, which says so, and there is a page
    in ``reports/``. Interrupted at any moment, the current version is the old or the
    new one; opening the line finishes or undoes the rest.

    Args:
        line: Not in use by another who changes it.
        package: Folder that `mmdefect export` has written.
        force: Promote it whatever the exams say, and though the log or the version in
            use is not as it was written; needs ``why``. The log keeps both, and a note
            of what was wrong. What is refused without an exam (below) is refused all
            the same.
        why: The reason, for the log.
        show_progress: A line on stderr.

    Raises:
        FileNotFoundError: There is no package, or an exam is gone.
        OSError: It does not fit on the disk.
        ValueError: The package is damaged, or of another task or order of classes than
            the version in use (whose classes come first, in their order) or the exams,
            or the one that is in use, and nobody forces it;
            an exam is not as it was added; the version in use has changed; rows of the
            log were changed or are missing; the line is in use; or ``force`` has no
            ``why``.
    """
    package = Path(package)
    if force or why is not None:
        check_reason(why, 'forces a promotion' if force else 'promotes a package')
    with line.lock('promote'):
        repair_locked(line)
        trouble = check_log(line, forced=force)
        given = read_package(package)
        previous, old, notes = _current(line, force=force)
        notes = (*filter(None, [trouble]), *notes)
        same = refuse_same(line, given, previous, forced=force)
        exams = open_exams(line)
        check_candidate(given, spec_of(line, previous, old), exams)
        name = next_name(line)
        try:
            new = copy_in(line, package, name)
            found, body = _examined(
                line, exams, old, new, source=package, notes=notes,
                forced=why if force else None, shown=show_progress,
            )  # fmt: skip
            passed = not body['reasons']
            compared = previous is None or old is not None
            freely = passed and compared and not same and trouble is None
            promoted = passed or force
            body |= {
                'state': PROMOTED if promoted else REFUSED,
                'from': previous,
                'forced': promoted and not freely,
                'why': why,
            }
            version = name if promoted else None
            row = line.log.append('promotion', version=version, body=body)
            if promoted:
                settle(line, row)
        finally:
            if promotion_of(line, name) is None:
                shutil.rmtree(draft_of(line, name), ignore_errors=True)
        seal(line, anew=trouble is not None)
    return Promotion(
        version=version,
        previous=previous,
        passed=passed,
        forced=body['forced'],
        verdicts=found,
        notes=tuple(body['notes']),
        report=line.folder / body['report'] / 'index.html',
    )


def rollback(
    line: Line, to: str | None = None, *, force: bool = False, why: str | None = None
) -> str:
    """Go back to the version that was in use before the current one was promoted.

    Args:
        line: Not in use by another who changes it.
        to: Another version of the line.
        force: Go back though rows of the log were changed or are missing; needs
            ``why``. The log keeps both, and what was wrong.
        why: The reason, for the log.

    Returns:
        The version that is in use now.

    Raises:
        FileNotFoundError: There is no such version.
        ValueError: There is none before it, it is in use already or has changed, rows
            of the log were changed or are missing, the line is in use, or ``force``
            has no ``why``.
    """
    if force or why is not None:
        check_reason(why, 'goes back')
    with line.lock('rollback'):
        repair_locked(line)
        trouble = check_log(line, forced=force)
        current = pointed_at(line)
        to = to or _before(line, current)
        folder = line.package(to)
        if to == current:
            raise ValueError(
                f'{to} is the current version already: expected another; '
                '`mmdefect line versions` lists them'
            )
        read_package(folder)  # refuses a damaged one
        body: dict[str, Any] = {
            'from': current,
            'why': why,
            'package': file_sha256(folder / FILE),
        }
        if trouble:
            body |= {'forced': True, 'notes': [trouble]}
        settle(line, line.log.append('rollback', version=to, body=body))
        seal(line, anew=trouble is not None)
    return to


def _before(line: Line, current: str | None) -> str:
    row = None if current is None else promotion_of(line, current)
    if row is None or row.body['from'] is None:
        there = f'{current} is the first version' if current else 'there is no version'
        raise ValueError(
            f'{there} of {line.folder}: expected one before it to go back to; promote '
            'another package instead'
        )
    return str(row.body['from'])


def _current(
    line: Line, *, force: bool
) -> tuple[str | None, Package | None, tuple[str, ...]]:
    """The version in use, its package, and a sentence if there is none to open.

    Raises:
        ValueError: It is damaged or gone; it does not stand in the way of who forces
            another.
    """
    row = newest_row(line)
    previous = pointed_at(line) if row is None else str(row.version)
    try:
        if line.current() is None and previous is None:
            return None, None, (_FRESH,)
        return previous, read_package(line.package(previous)), ()
    except (OSError, ValueError) as error:
        if not force:
            raise
        return previous, None, (f'nothing is compared with {previous}: {error}',)


def _examined(
    line: Line,
    exams: Sequence[Exam],
    old: Package | None,
    new: Package,
    *,
    source: Path,
    notes: Sequence[str],
    forced: str | None,
    shown: bool,
) -> tuple[tuple[Verdict, ...], dict[str, Any]]:
    """Look at all exams and write the page; what the log will say of it."""
    models = [open_version(one.folder) for one in (old, new) if one is not None]
    begun = datetime.now(timezone.utc).strftime('%Y%m%dT%H%M%S%f')
    report = line.reports_dir / f'{begun}-{file_stem(str(source))}'
    total = sum(len(exam.images) for exam in exams)
    with new_folder(report) as draft:
        changes = Changes(draft)
        with Progress(total, shown=shown and total > 0) as progress:
            verdicts = tuple(
                _verdict(exam, models, changes, progress) for exam in exams
            )
        told = (*notes, *_notes(new.spec, verdicts))
        write_gate_page(
            verdicts,
            changes,
            draft,
            package=source.name,
            previous=None if old is None else old.folder.name,
            notes=told,
            forced=forced,
        )
    body = {
        'package': file_sha256(new.folder / FILE),
        'task': new.spec.task,
        'classes': list(new.spec.classes),
        'defective': new.spec.defective,
        'source': str(source.absolute()),
        'passed': all(verdict.passed for verdict in verdicts),
        'reasons': [why for verdict in verdicts for why in verdict.reasons],
        'notes': list(told),
        'report': report.relative_to(line.folder).as_posix(),
        'exams': {verdict.exam: asdict(verdict) for verdict in verdicts},
    }
    return verdicts, body


def _verdict(
    exam: Exam,
    models: Sequence[DefectInferencer],
    changes: Changes,
    progress: Progress,
) -> Verdict:
    seen = []
    with closing(look(exam, models)) as looks:
        for one in looks:
            seen.append(one.seen)
            changes.add(exam.name, one)
            progress.step()
    results = [
        result_of(exam, model.spec, [one[number] for one in seen]).counts
        for number, model in enumerate(models)
    ]
    old = results[0] if len(results) > 1 else None
    return compare(old, results[-1], exam.limits)


def _notes(spec: ModelSpec, verdicts: Sequence[Verdict]) -> list[str]:
    """What the exams together do not say."""
    if not verdicts:
        return [_BARE]
    shown: Counter[str] = Counter()
    for row in (row for verdict in verdicts for row in verdict.rows):
        shown[row.product if spec.task == 'maps' else row.kind] += row.number
    unproved = [name for name in spec.classes if not shown[name]]
    if not unproved:
        return []
    return [f'no exam shows {some_of(unproved)}: nothing is proved about them']
