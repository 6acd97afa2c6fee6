"""Whether a package can take the place of the version in use, before any exam."""

from __future__ import annotations

from collections.abc import Sequence

from mmdefect.deploy.package import FILE, Package
from mmdefect.line.exam import Exam
from mmdefect.line.exams import check_names
from mmdefect.utils.checks import some_of, visible
from mmdefect.utils.files import file_sha256


def check_candidate(given: Package, old: Package | None, exams: Sequence[Exam]) -> None:
    """Refuse a package that cannot take the place of the old one, or be examined.

    Args:
        given: The package.
        old: That of the version in use, if there is one that can be read.
        exams: Of the line.

    Raises:
        ValueError: It is of another task, order of classes or defective class, or a
            name in an exam is a twin of one of its classes.
    """
    spec, name = given.spec, visible(str(given.folder))
    others = [exam.name for exam in exams if exam.task != spec.task]
    if old is not None and spec.task != old.spec.task:
        raise ValueError(
            f'{name} is a model of {spec.task}: expected one of {old.spec.task}, as '
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
    if spec.classes[: len(old.spec.classes)] != old.spec.classes:
        raise ValueError(
            f'{name} has the classes {some_of(spec.classes)}: expected those of the '
            f'current version first and in their order, {some_of(old.spec.classes)}, '
            'new ones behind them; export it from a model that was taught so'
        )
    if spec.defective != old.spec.defective:
        raise ValueError(
            f'{name} calls {spec.defective} defective: expected {old.spec.defective}, '
            'as the current version does; give another package'
        )


def same_package(given: Package, old: Package | None) -> list[str]:
    """A sentence if the package is the one that is in use, else none.

    Args:
        given: The package.
        old: That of the version in use, if there is one that can be read.
    """
    if old is None:
        return []
    hashes = {file_sha256(one.folder / FILE) for one in (given, old)}
    if len(hashes) > 1:
        return []
    return [f'the package is that of {old.folder.name}, which is in use: nothing new']
