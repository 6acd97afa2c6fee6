"""Which annotation tool wrote the files of a folder: seen by what is in them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmdefect.converters.annotated import Found, shown
from mmdefect.converters.coco_folder import read_coco_files
from mmdefect.converters.cvat import read_cvat
from mmdefect.converters.image_folder import ImageFolder, visible_files
from mmdefect.converters.label_studio import read_label_studio
from mmdefect.converters.labelme import read_labelme
from mmdefect.converters.own_voc import read_voc
from mmdefect.converters.yolo import LISTS, read_yolo, yolo_files
from mmdefect.utils.checks import check_choice

READERS = {
    'coco': read_coco_files,
    'labelme': read_labelme,
    'label-studio': read_label_studio,
    'cvat': read_cvat,
    'voc': read_voc,
}
TITLES = {
    'coco': 'COCO',
    'labelme': 'LabelMe',
    'yolo': 'YOLO',
    'cvat': 'CVAT',
    'label-studio': 'Label Studio',
    'voc': 'Pascal VOC',
}
"""Format -> how it is written."""
_HEAD = 1 << 16
# Of one image each: a damaged one is known by the image of its name.
_SINGLE = {'labelme': '.json', 'voc': '.xml'}
_YOLO_LINE = re.compile(r'\s*\d+(\s+-?[\d.]+(e[+-]?\d+)?){4,}\s*(\n|$)', re.IGNORECASE)


def kind_of(path: Path) -> str | None:
    """Format of a file by its beginning and end; None for one that is none of them.

    A damaged file counts as what it was, so that its reader can say what is wrong.
    """
    suffix = path.suffix.lower()
    if suffix not in ('.json', '.xml', '.txt', '.yaml', '.yml'):
        return None
    with path.open('rb') as file:
        data = file.read(_HEAD)
        if path.stat().st_size > 2 * _HEAD:
            file.seek(-_HEAD, 2)
            data += b'\n' + file.read(_HEAD)
    # UTF-16 is ASCII with zeros between; only ASCII is looked for.
    text = data.replace(b'\0', b'').decode('latin-1')
    if suffix == '.json':
        return None if path.name == 'notes.json' else _kind_of_json(text)
    if suffix == '.xml':
        if re.search(r'<annotations[\s>]', text):
            return 'cvat'
        return 'voc' if re.search(r'<annotation[\s>]', text) else None
    if suffix == '.txt':
        return 'yolo' if path.name in LISTS or _YOLO_LINE.match(text) else None
    return 'yolo' if re.search(r'^names\s*:', text, re.MULTILINE) else None


def _kind_of_json(text: str) -> str | None:
    keys = set(re.findall(r'"(\w+)"\s*:', text))
    if keys & {'imagePath', 'shapes'}:
        return 'labelme'
    if keys & {'file_upload', 'from_name', 'rectanglelabels', 'completions'}:
        return 'label-studio'
    if keys & {'categories', 'bbox'} or {'images', 'annotations'} <= keys:
        return 'coco'
    begins = text.lstrip('ï»¿ \n\r\t')[:1]
    return 'label-studio' if begins == '[' and {'data', 'id'} <= keys else None


def files_by_format(
    source: Path, *, written: Path | None = None
) -> dict[str, list[Path]]:
    """Annotation files of a folder (or one file) by their format.

    Args:
        source: The folder or file.
        written: Folder that a converter writes to; what is in it is no source.

    Raises:
        FileNotFoundError: If there is no such folder or file.
    """
    if not source.exists():
        raise FileNotFoundError(
            f'there is no folder {source}: expected a folder of images and '
            'annotations; check the path'
        )
    files = list(visible_files(source)) if source.is_dir() else [source]
    if written is not None:
        own = written.absolute()
        files = [path for path in files if not path.absolute().is_relative_to(own)]
    found: dict[str, list[Path]] = defaultdict(list)
    unknown = []
    for path in files:
        if kind := kind_of(path):
            found[kind].append(path)
        else:
            unknown.append(path)
    stems = {path.stem for path in unknown if path.suffix not in _SINGLE.values()}
    for kind, suffix in _SINGLE.items():
        if kind in found:
            found[kind] += [
                p for p in unknown if p.suffix == suffix and p.stem in stems
            ]
    return dict(found)


def choose_format(
    by_format: Mapping[str, Sequence[Path]], source: Path, kind: str = 'auto'
) -> str:
    """Take the format that a user gives, else the only one that is there.

    Raises:
        FileNotFoundError: If there are no annotations.
        ValueError: If there are several formats, or the given one is not there.
    """
    check_choice('format', kind, ('auto', *TITLES))
    what = f'annotations of {", ".join(TITLES.values())}'
    if not by_format:
        raise FileNotFoundError(
            f'{source} holds no annotations: expected {what}; put them beside the '
            'images, or give the folder that holds both'
        )
    if kind != 'auto':
        if kind not in by_format:
            raise FileNotFoundError(
                f'format={kind!r}: expected {TITLES[kind]} files in {source}, which '
                f'holds {_listed(by_format)}; give the format that is there'
            )
        return kind
    if len(by_format) > 1:
        number = 'two' if len(by_format) == 2 else len(by_format)
        raise ValueError(
            f'{source} holds {number} formats at once, {_listed(by_format)}: expected '
            f'one; say which, such as --format {min(by_format)}, or give a folder that '
            'holds only one'
        )
    return next(iter(by_format))


def _listed(by_format: Mapping[str, Sequence[Path]]) -> str:
    return ' and '.join(
        f'{TITLES[kind]} ({shown(paths[0].name)})'
        for kind, paths in sorted(by_format.items())
    )


def read_format(
    kind: str,
    folder: ImageFolder,
    source: Path,
    paths: Iterable[Path],
    *,
    classes: Sequence[str] | None = None,
) -> Found:
    """Read the annotations of one format.

    Args:
        kind: One of :data:`TITLES`.
        folder: The images.
        source: Folder of the annotations, or the file.
        paths: The files of that format.
        classes: Names in the order of YOLO's numbers, where no file says them.
    """
    if kind == 'yolo':
        files = yolo_files(source) if source.is_dir() else list(paths)
        return read_yolo(folder, files, classes=classes)
    return READERS[kind](folder, sorted(paths))
