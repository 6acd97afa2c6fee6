"""What a step of a stream keeps for the next ones: images as files, and a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.utils.checks import check_type, visible
from mmdefect.utils.files import file_sha256, new_folder, write_json
from mmdefect.utils.text_files import read_json

MANIFEST = 'manifest.json'


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """An image that is kept, or a crop of one.

    Attributes:
        kept_for: Class in whose budget it is.
        step: Step that saw it, which alone says what is labelled in it.
        source: Name of the image in its dataset.
        width: In pixels.
        height: In pixels.
        boxes: ``{'bbox': [x1, y1, x2, y2], 'class': name, 'ignore': 0 or 1}`` each, in
            pixels.
        reading: ``exif`` and ``bits``, as its dataset read it.
        bytes: Size of its file.
        sha256: Of its file; empty before it is written.
        file: Its file below the folder of the memory; empty before it is written.
    """

    kept_for: str
    step: int
    source: str
    width: int
    height: int
    boxes: list[dict[str, Any]]
    reading: dict[str, Any] = field(default_factory=dict)
    bytes: int
    sha256: str = ''
    file: str = ''

    def shows(self, name: str) -> bool:
        """Whether an object of a class is labelled in it."""
        return any(box['class'] == name and not box['ignore'] for box in self.boxes)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What stands in a manifest.

    Attributes:
        step: Step at whose end it was chosen.
        classes: Classes it was chosen for, in label order.
        budget: What was allowed, as it was asked for.
        seed: Of the choice.
        images: What is kept, class by class, the first to stay first.
    """

    step: int
    classes: list[str]
    budget: dict[str, Any]
    seed: int
    images: list[Remembered]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(image.bytes for image in self.images)


def read_memory(folder: Path, classes: Sequence[str] | None = None) -> Memory:
    """Read the manifest of a memory and check that its files are those it names.

    Args:
        folder: Of the memory.
        classes: Classes that it has to be of, in this order.

    Raises:
        FileNotFoundError: The manifest or a file that it names is gone.
        ValueError: It is no manifest, a file has changed, or its classes are others.
    """
    path = folder / MANIFEST
    data = read_json(path, 'manifest of a memory')
    try:
        data.pop('bytes')
        images = [Remembered(**image) for image in data.pop('images')]
        memory = Memory(**data, images=images)
        check_type('classes', memory.classes, list, expected='a list of names')
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path}: expected the manifest of a memory, found {error}; put the file '
            'back that the stream wrote, or remove its folder to choose anew'
        ) from None
    if classes is not None:
        _check_classes(memory, list(classes), path)
    for image in images:
        _check_file(folder, image)
    return memory


def _check_classes(memory: Memory, classes: list[str], path: Path) -> None:
    if memory.classes == classes:
        return
    length = max(len(memory.classes), len(classes))
    found, wanted = (
        [*map(visible, names), *['no class'] * (length - len(names))]
        for names in (memory.classes, classes)
    )
    at = next(k for k in range(length) if found[k] != wanted[k])
    raise ValueError(
        f'{path} is the memory of another step or stream: expected {wanted[at]} as '
        f'class {at}, it has {found[at]}; give the memory of the step before, or '
        'remove it to choose anew'
    )


def _check_file(folder: Path, image: Remembered) -> None:
    if not image.file or Path(image.file).name != image.file:
        raise ValueError(
            f'{folder / MANIFEST} names the file {visible(image.file)!r}: expected '
            'one in its own folder; put the manifest back that the stream wrote'
        )
    path = folder / image.file
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} is gone: expected the image that {MANIFEST} names; put it back, '
            'or remove the folder to choose anew'
        )
    if file_sha256(path) != image.sha256:
        raise ValueError(
            f'{path} has changed: expected the SHA-256 {image.sha256[:12]}... of '
            f'{MANIFEST}; put the image back, or remove the folder to choose anew'
        )


def write_memory(
    folder: Path, memory: Memory, sources: Sequence[Path | bytes]
) -> Memory:
    """Write a memory into a new folder, which appears when all is written.

    Args:
        folder: New, or one that a kill has left half written.
        memory: What to write; files and their hashes are filled in.
        sources: File, or content of one (a PNG), of each of its images.

    Returns:
        The memory as it was written.

    Raises:
        FileExistsError: The folder holds something.
    """
    written = []
    with new_folder(folder) as draft:
        for index, (image, source) in enumerate(
            zip(memory.images, sources, strict=True)
        ):
            suffix = '.png' if isinstance(source, bytes) else source.suffix
            name = f'{image.step}_{index:04d}_{Path(image.source).stem}{suffix}'
            target = draft / name
            if isinstance(source, bytes):
                target.write_bytes(source)
            else:
                shutil.copyfile(source, target)
            about = {
                'file': name,
                'bytes': target.stat().st_size,
                'sha256': file_sha256(target),
            }
            written.append(Remembered(**{**asdict(image), **about}))
        done = Memory(**{**vars(memory), 'images': written})
        write_json(draft / MANIFEST, {**asdict(done), 'bytes': done.bytes})
    return done
