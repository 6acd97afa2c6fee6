"""The exams of a line: added, retired, and opened only as the log knows them."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.deploy.package import read_package
from mmdefect.deploy.sources import content_of, image_of
from mmdefect.deploy.spec import ModelSpec, Task
from mmdefect.line.exam import FILE, IMAGES, Exam, ExamImage
from mmdefect.line.exam_sources import read_labelled
from mmdefect.line.gate import Limits
from mmdefect.line.images import image_hash
from mmdefect.line.names import check_spelling
from mmdefect.utils.checks import amount, check_type, name_some, some_of, visible
from mmdefect.utils.files import file_sha256, need_space, new_folder, write_json
from mmdefect.utils.text_files import inner_path, read_json

if TYPE_CHECKING:
    from mmdefect.line.folder import Line

# Windows keeps some names for itself, whatever their suffix.
_OF_WINDOWS = re.compile(r'(con|prn|aux|nul|(com|lpt)\d)(\.|$)', re.IGNORECASE)
_NAME = re.compile(r'[^.<>:"|?*/\\\x00-\x1f\x7f][^<>:"|?*/\\\x00-\x1f\x7f]*')
# Of a draft, and of what is going.
_PART = '.part'
ADDED, RETIRED = 'exam added', 'exam retired'
"""What the log's notes about exams say; each has ``exam`` and ``sha256`` beside it."""


def add_exam(
    line: Line,
    name: str,
    *,
    annotations: str | Path | None = None,
    folder: str | Path | None = None,
    note: str = '',
    limits: Limits | None = None,
    by: str | None = None,
) -> Exam:
    """Copy labelled images into a line, hash them and write that into the log.

    Of boxes annotate every kind of defect that is to be seen, those that no version
    finds yet, too: what is not annotated counts as a false alarm when it is found.

    Args:
        line: For whose versions it is.
        name: Of a new folder in ``exams/``.
        annotations: Boxes; see :func:`mmdefect.line.exam_sources.read_labelled`.
        folder: Of all tasks; see there.
        note: What it is for, and who answers for it.
        limits: What may be lost.
        by: Who adds it, for the log; it holds the note and the limits, too.

    Raises:
        FileExistsError: There is one of this name.
        FileNotFoundError: There is no such file or folder, or an image is missing.
        OSError: It does not fit on the disk.
        ValueError: It holds no labelled image, an image cannot be read, it is of
            another task than the version in use or calls things otherwise, or the
            line is in use.
    """
    name = _folder_name(name)
    check_type('note', note, str, expected='text')
    check_type('by', by, str | None, expected='a name')
    task, classes, found = read_labelled(annotations, folder)
    _check_name(line, name)
    _check_fits(line, name, task, classes, [image for _, image in found])
    size = sum(path.stat().st_size for path, _ in found)
    images = f'a copy of {amount(len(found), "image")}'
    need_space(line.folder, size, images, cure='free some space')
    target = line.exams_dir / name
    with line.lock('add-exam'):
        with new_folder(target, cure='choose another name') as draft:
            exam = Exam(
                folder=target,
                name=name,
                task=task,
                classes=classes,
                note=note,
                added=datetime.now(timezone.utc).isoformat(timespec='seconds'),
                limits=limits or Limits(),
                images=tuple(_copied(path, draft, image) for path, image in found),
            )
            write_json(draft / FILE, exam.to_dict(), lasting=True)
        _write_down(line, target, by)
    return exam


def retire_exam(line: Line, name: str, *, why: str) -> None:
    """Take an exam out of use: the log says why, its files go.

    Raises:
        ValueError: There is none of this name, no reason is given, or the line is in
            use.
    """
    check_reason(why, 'retires an exam')
    with line.lock('retire-exam'):
        known = written_down(line)
        if known.get(name) is None:
            there = sorted(one for one, sha256 in known.items() if sha256)
            raise ValueError(
                f'{visible(name)} is no exam of {line.folder}: expected one of those '
                f'that were added ({name_some(there)}); check its name'
            )
        folder = line.exams_dir / name
        left = folder.with_name(f'{name}{_PART}')
        shutil.rmtree(left, ignore_errors=True)
        if folder.exists():
            folder.rename(left)
        body = {'what': RETIRED, 'exam': name, 'sha256': known[name], 'why': why}
        line.log.append('note', body=body)
        shutil.rmtree(left, ignore_errors=True)


def open_exams(line: Line) -> list[Exam]:
    """All exams of a line, in the order of their names, each as it was added.

    Raises:
        FileNotFoundError: One that was added is gone.
        ValueError: Files of one have changed, are missing or were added.
    """
    known = {name: sha256 for name, sha256 in written_down(line).items() if sha256}
    if gone := [name for name in known if not (line.exams_dir / name / FILE).is_file()]:
        raise FileNotFoundError(
            f'exams of {line.folder} are gone ({name_some(sorted(gone))}): expected '
            'all that were added; restore them, or retire them with a reason: '
            '`mmdefect line add-exam LINE NAME --retire --why ...`'
        )
    exams = []
    for name in sorted(known):
        path = line.exams_dir / name / FILE
        if file_sha256(path) != known[name]:
            raise ValueError(
                f'{path} has changed since the exam {name} was added: expected the '
                'file that the log knows; restore it, or retire the exam with a reason'
            )
        exams.append(Exam.open(path.parent))
    return exams


def written_down(line: Line) -> dict[str, str | None]:
    """Name of each exam -> hash of its ``exam.json``, None if it was retired."""
    found: dict[str, str | None] = {}
    for row in line.log.rows(kind='note'):
        what, exam = row.body.get('what'), row.body.get('exam')
        if what in (ADDED, RETIRED):
            found[str(exam)] = row.body['sha256'] if what == ADDED else None
    return found


def unrecorded(line: Line) -> list[Path]:
    """Folders in ``exams/`` that are no exams by the log; see :func:`mend`."""
    folders = [path for path in line.exams_dir.glob('*') if path.is_dir()]
    known = written_down(line) if folders else {}
    return [path for path in sorted(folders) if known.get(path.name) is None]


def mend(line: Line) -> None:
    """Finish what a kill has left half done; whoever calls holds the line's lock.

    A draft goes, and what is left of an exam that was retired; one whose retirement was
    not written any more gets its name back. An exam that is whole and not in the log,
    of a kill or put there by hand, is written down, though it was retired once.
    """
    known = written_down(line)
    for folder in unrecorded(line):
        file = folder / FILE
        if folder.suffix == _PART:
            name = folder.stem
            in_use = file.is_file() and file_sha256(file) == known.get(name)
            if in_use and not (line.exams_dir / name).exists():
                folder.rename(line.exams_dir / name)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        elif file.is_file():
            _write_down(line, folder)


def check_reason(why: Any, does: str) -> None:
    """Refuse what is no reason.

    Args:
        does: What needs one, such as ``'forces a promotion'``.

    Raises:
        ValueError: It is no text, or empty.
    """
    if not isinstance(why, str) or not why.strip():
        raise ValueError(
            f'why={visible(repr(why))}: expected the reason of whoever {does}, in a '
            'few words; give it with --why "..."'
        )


def _write_down(line: Line, folder: Path, by: str | None = None) -> None:
    path = folder / FILE
    body: dict[str, Any] = {'what': ADDED, 'exam': folder.name}
    body['sha256'] = file_sha256(path)
    with suppress(KeyError, TypeError, ValueError):  # of a copy by hand: Exam.open says
        content = read_json(path, 'description of an exam')
        body['limits'] = asdict(Limits(**content['limits']))
        body['note'] = str(content['note'])
    line.log.append('note', body=body if by is None else {**body, 'by': by})


def check_names(
    exam: str,
    task: Task,
    classes: Iterable[str],
    images: Iterable[ExamImage],
    *,
    spec: ModelSpec | None = None,
) -> None:
    """Refuse kinds or products of which one is but another spelling of a second one.

    Args:
        exam: Its name.
        task: Its task.
        classes: Its kinds (of maps: its products).
        images: What is on them; of maps the kinds are free, but one each in a product.
        spec: Of the model that it has to fit.

    Raises:
        ValueError: The names differ in case, blanks, ``_`` or ``-`` only.
    """
    what = f'the exam {exam}'
    check_spelling(what, classes, () if spec is None else spec.classes)
    if task == 'maps':
        kinds: dict[str, list[str]] = defaultdict(list)
        for image in images:
            kinds[image.product] += [one.kind for one in image.truths]
        for own in kinds.values():
            check_spelling(what, own)


def _check_fits(
    line: Line,
    name: str,
    task: Task,
    classes: Sequence[str],
    images: Iterable[ExamImage],
) -> None:
    version = line.current()
    spec = None if version is None else read_package(line.package(version)).spec
    if spec is not None and spec.task != task:
        raise ValueError(
            f'the exam {name} is one of {task}: expected one of {spec.task}, as '
            f'{version} is; give other images, or make another line'
        )
    check_names(name, task, classes, images, spec=spec)


def _folder_name(name: str) -> str:
    inside = inner_path(name, 'the name of an exam')
    odd = not _NAME.fullmatch(inside) or inside != inside.strip()
    if odd or inside.endswith(('.', _PART)) or _OF_WINDOWS.match(inside):
        raise ValueError(
            f"exam '{visible(name)}': expected the name of a folder on any machine, "
            'without a dot in front, a dot, blank or .part at its end, slashes or any '
            'of <>:"|?*, and none such as con; choose another'
        )
    return inside


def _check_name(line: Line, name: str) -> None:
    """Refuse a name that is that of another exam where disks do not tell case."""
    there = {path.name for path in line.exams_dir.glob('*')}
    there |= {exam for exam, sha256 in written_down(line).items() if sha256}
    alike = [one for one in there - {name} if one.casefold() == name.casefold()]
    if alike:
        raise ValueError(
            f"exam '{visible(name)}': expected a name that differs from "
            f'{some_of(alike)} in more than upper and lower case; choose another'
        )


def _copied(source: Path, draft: Path, image: ExamImage) -> ExamImage:
    data = content_of(source)
    # Refused here, and not by every promotion. Of any depth: models say theirs.
    image_of(data, source, bits=16)
    target = draft / IMAGES / image.file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return replace(image, sha256=str(image_hash(data, None)))
