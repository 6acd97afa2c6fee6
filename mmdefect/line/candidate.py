"""Whether a package can take the place of the version in use, before any exam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmdefect.deploy.package import FILE, Package
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.exam import Exam
from mmdefect.line.exams import check_names
from mmdefect.line.versions import promotion_of
from mmdefect.utils.checks import some_of, visible
from mmdefect.utils.files import file_sha256

if TYPE_CHECKING:
    from mmdefect.line.folder import Line


def spec_of(
    line: Line, version: str | None, package: Package | None
) -> ModelSpec | None:
    """What the version in use is a model of: by its package, else by the log.

    Args:
        line: Whose version.
        version: Its name, if there is one.
        package: If it can be read.
    """
    if package is not None:
        return package.spec
    row = None if version is None else promotion_of(line, version)
    if row is None or 'task' not in row.body:  # of an earlier mmdefect
        return None
    return ModelSpec(
        task=row.body['task'],
        classes=tuple(row.body['classes']),
        defective=row.body['defective'],
    )


def check_candidate(
    given: Package, old: ModelSpec | None, exams: Sequence[Exam]
) -> None:
    """Refuse a package that cannot take the place of the old one, or be examined.

    Args:
        given: The package.
        old: The version in use, if there is one that is known.
        exams: Of the line.

    Raises:
        ValueError: It is of another task, order of classes or defective class, or a
            name in an exam is a twin of one of its classes.
    """
    spec, name = given.spec, visible(str(given.folder))
    others = [exam.name for exam in exams if exam.task != spec.task]
    if old is not None and spec.task != old.task:
        raise ValueError(
            f'{name} is a model of {spec.task}: expected one of {old.task}, as '
            'the current version is; give another package, or make another line'
        )
    if others:
        raise ValueError(
            f'{name} is a model of {spec.task}: expected one of the task of the exams '
            f'{some_of(others)}; give another package, or retire them'
        )
    for exam in exams:
        check_names(exam.name, exam.task, exam.classes, exam.images, spec=spec)
    if old is None:
        return
    if spec.classes[: len(old.classes)] != old.classes:
        raise ValueError(
            f'{name} has the classes {some_of(spec.classes)}: expected those of the '
            f'current version first and in their order, {some_of(old.classes)}, '
            'new ones behind them; export it from a model that was taught so'
        )
    if spec.defective != old.defective:
        raise ValueError(
            f'{name} calls {spec.defective} defective: expected {old.defective}, '
            'as the current version does; give another package'
        )


def refuse_same(
    line: Line, given: Package, version: str | None, *, forced: bool
) -> bool:
    """Refuse the package that is in use: to go back would lead to the same again.

    Args:
        line: Whose log says what was promoted.
        given: The package.
        version: The one in use. One that the log does not know, as it is an older log,
            may be promoted again.
        forced: Whether it is taken all the same.

    Returns:
        Whether it is the same.

    Raises:
        ValueError: It is, and nobody forces it.
    """
    row = None if version is None else promotion_of(line, version)
    same = row is not None and row.body.get('package') == file_sha256(
        given.folder / FILE
    )
    if same and not forced:
        raise ValueError(
            f'{visible(str(given.folder))} is the package of {version}, which is in '
            'use: expected another; check the path, nothing was changed (--force --why '
            '"..." makes a version of it all the same)'
        )
    return same
