"""A frozen test set: its images, what is on them, and whether all are as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmdefect.deploy.spec import TASKS, Task
from mmdefect.line.gate import Limits
from mmdefect.utils.checks import amount, brief, check_choice, name_some
from mmdefect.utils.files import file_sha256
from mmdefect.utils.text_files import inner_path, read_json

FILE = 'exam.json'
FORMAT_VERSION = 1
IMAGES = 'images'
Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One thing that is on an image.

    Attributes:
        kind: Class of a box; kind of defect (maps); class of the image (labels).
        box: x1, y1, x2, y2 in pixels; None of maps and labels.
        ignored: A region that counts neither way (COCO's ``iscrowd``).
    """

    kind: str
    box: Box | None = None
    ignored: bool = False


@dataclass(frozen=True, kw_only=True)
class ExamImage:
    """One image of an exam.

    Attributes:
        file: Below ``images/``, with slashes.
        sha256: Of the file.
        product: Which it shows; ``''`` if none is said.
        truths: What is on it; none of a good image.
    """

    file: str
    sha256: str = ''
    product: str = ''
    truths: tuple[Truth, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exam:
    """A frozen test set. What is not annotated in it is taken for no defect.

    Attributes:
        folder: ``exam.json`` and ``images/``.
        name: That of the folder.
        task: ``'boxes'``, ``'maps'`` or ``'labels'``.
        classes: Whose instances are annotated (boxes, labels); the products (maps).
        note: Of its owner: what it is for.
        added: When, UTC.
        limits: What may be lost.
        images: In a fixed order.
    """

    folder: Path
    name: str
    task: Task
    classes: tuple[str, ...]
    note: str
    added: str
    limits: Limits
    images: tuple[ExamImage, ...]

    def path(self, image: ExamImage) -> Path:
        """Where an image lies."""
        return self.folder / IMAGES / image.file

    def to_dict(self) -> dict[str, Any]:
        """What ``exam.json`` holds."""
        return {
            'format_version': FORMAT_VERSION,
            'name': self.name,
            'task': self.task,
            'classes': list(self.classes),
            'note': self.note,
            'added': self.added,
            'limits': asdict(self.limits),
            'images': [asdict(image) for image in self.images],
        }

    @classmethod
    def open(cls, folder: str | Path) -> Exam:
        """Read an exam, and refuse it unless every image is as it was.

        Raises:
            FileNotFoundError: There is no ``exam.json``.
            ValueError: It is none of ours or of a newer version; or images changed, are
                missing, or were added: it names them.
        """
        exam = _read(Path(folder))
        _check_files(exam)
        return exam


def _read(folder: Path) -> Exam:
    path = folder / FILE
    content = read_json(path, 'description of an exam')
    version = content.get('format_version')
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f'{path} has format_version={brief(version)}: expected at most '
            f'{FORMAT_VERSION}, as `mmdefect line add-exam` writes it; update '
            'mmdefect, or add the exam again'
        )
    try:
        check_choice('task', content['task'], TASKS)
        return Exam(
            folder=folder,
            name=folder.name,
            task=content['task'],
            classes=tuple(content['classes']),
            note=content['note'],
            added=content['added'],
            limits=Limits(**content['limits']),
            images=tuple(_image(one, path) for one in content['images']),
        )
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(
            f'{path} is not as `mmdefect line add-exam` wrote it ({error}); restore it'
        ) from None


def _image(entry: Mapping[str, Any], path: Path) -> ExamImage:
    truths = tuple(
        Truth(kind=one['kind'], box=_box(one['box']), ignored=bool(one['ignored']))
        for one in entry['truths']
    )
    return ExamImage(
        file=inner_path(entry['file'], str(path)),
        sha256=entry['sha256'],
        product=entry['product'],
        truths=truths,
    )


def _box(value: Any) -> Box | None:
    if value is None:
        return None
    x1, y1, x2, y2 = map(float, value)
    return x1, y1, x2, y2


def is_left(name: str) -> bool:
    """Whether a file is called as what file managers leave, which counts as nothing."""
    return name.startswith('._') or name in ('.DS_Store', '.directory')


def _is_same(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256  # no pipe, no device


def _check_files(exam: Exam) -> None:
    """Name what is not as it was: of a frozen set every image counts."""
    root = exam.folder / IMAGES
    known = {image.file: image.sha256 for image in exam.images}
    found = {path.relative_to(root).as_posix(): path for path in root.rglob('*')}
    links = {name for name, path in found.items() if path.is_symlink()}
    files = {
        name
        for name, path in found.items()
        if not path.is_dir() and (name in known or not is_left(path.name))
    } - links
    missing = known.keys() - files - links
    changed = [
        name
        for name, sha256 in known.items()
        if name in files and not _is_same(found[name], sha256)
    ]
    # A link shows what is elsewhere, and may show another thing at any time.
    wrong = {
        'changed': changed,
        'missing': missing,
        'added': files - known.keys(),
        'links, where the files themselves are expected': links,
    }
    said = [
        f'{what} {name_some(sorted(names))}' for what, names in wrong.items() if names
    ]
    if said:
        raise ValueError(
            f'the exam {exam.name} is not as it was frozen ({"; ".join(said)}): '
            f'expected its {amount(len(known), "image")} as frozen; restore {root}, or '
            'retire the exam with a reason and add it under another name'
        )
