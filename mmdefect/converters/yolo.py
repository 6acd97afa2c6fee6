"""YOLO: a text file an image, of class numbers and boxes as fractions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmdefect.converters.annotated import (
    Found,
    Objects,
    class_name,
    enclosing,
    read_each,
)
from mmdefect.converters.image_folder import ImageFolder, named, visible_files
from mmdefect.utils.checks import brief
from mmdefect.utils.text_files import read_text_file

LISTS = ('classes.txt', 'obj.names', '_darknet.labels')
MAX_BYTES = 10_000_000
MAX_YAML_BYTES = 200_000


def read_yolo(
    folder: ImageFolder, paths: Sequence[Path], *, classes: Sequence[str] | None = None
) -> Found:
    """Read YOLO's label files, of boxes or of outlines; an empty one is a good image.

    Args:
        folder: The images. Labels stand beside them, or in ``labels`` where the images
            stand in ``images``.
        paths: Files of the data set: labels, lists of names and ``data.yaml``.
        classes: Names in the order of the numbers, if no file says them.

    Raises:
        FileNotFoundError: If nothing says what the numbers mean.
        ValueError: If what does cannot be read, or two files disagree.
    """
    found = Found()
    names = _names(paths, found) or list(classes or ())
    if not names:
        raise FileNotFoundError(
            f'{folder.root} has neither data.yaml nor classes.txt beside its labels: '
            'expected the names of the classes; give them in the order of their '
            'numbers with --classes'
        )
    labels = {path: path for path in paths if path.suffix == '.txt'}
    by_place = {str(path.with_suffix('').absolute()): path for path in labels}
    of_image: dict[Path, str] = {}
    for name in folder.names:
        place = folder.root.absolute() / PurePosixPath(name).with_suffix('')
        for one in _label_places(place):
            if one in by_place:
                of_image[by_place[one]] = name
                break
    stray = [path for path in labels if path not in of_image and path.name not in LISTS]
    found.missing += [f'an image for {path}' for path in stray if _is_label(path)]

    def read(path: Path, found: Found) -> None:
        objects = _objects(path, names)
        found.add(of_image[path], '', path, objects, fractions=True)

    read_each(sorted(of_image), read, found)
    return found


def _label_places(image: Path) -> list[str]:
    """Where the label file of an image may be, without its suffix."""
    places = [str(image)]
    parts = list(image.parts)
    for k in reversed(range(len(parts) - 1)):
        if parts[k] in ('images', 'JPEGImages'):
            places.insert(0, str(Path(*parts[:k], 'labels', *parts[k + 1 :])))
    return [*places, str(image.parent / 'labels' / image.name)]


def _is_label(path: Path) -> bool:
    """Whether a file without an image must be a label file: its folder says so."""
    return 'labels' in path.parts


def yolo_files(root: Path) -> list[Path]:
    """All that may belong to a data set of YOLO below a folder."""
    wanted = ('.txt', '.yaml', '.yml', '.names', '.labels')
    return [path for path in visible_files(root) if path.suffix in wanted]


def _names(paths: Sequence[Path], found: Found) -> list[str]:
    """Names of the classes, by their numbers."""
    said: dict[Path, list[str]] = {}
    for path in paths:
        if path.suffix in ('.yaml', '.yml'):
            names = _yaml_names(path)
        elif path.name in LISTS:
            lines = read_text_file(path, 'list of classes', max_bytes=MAX_BYTES)
            names = [line.strip() for line in lines.splitlines() if line.strip()]
        else:
            continue
        if names:
            said[path] = [class_name(one, str(path)) for one in names]
    if not said:
        return []
    if len({tuple(names) for names in said.values()}) > 1:
        raise ValueError(
            f'files name the classes differently ({named(said)}): expected the same '
            'names in the same order; remove the files that are wrong'
        )
    source, names = next(iter(said.items()))
    if len(set(names)) < len(names):
        raise ValueError(
            f'{source} names a class twice: expected every name once; correct it'
        )
    found.declare(names)
    return names


def _yaml_names(path: Path) -> list[Any]:
    """``names`` of a data.yaml: a list, or numbers with names; empty without any."""
    import yaml

    text = read_text_file(path, 'data.yaml', max_bytes=MAX_YAML_BYTES)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        content = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise ValueError(
            f'{path} is no YAML ({reason}): expected names of classes; correct it'
        ) from error
    if _said_twice(root, content):
        raise ValueError(
            f'{path} says names, or the name of a number, more than once: expected one '
            'name a number; correct it'
        )
    names = content.get('names') if isinstance(content, dict) else None
    if names is None:
        return []
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(
        map(str, range(len(names)))
    ):
        names = [
            {str(key): name for key, name in names.items()}[str(k)]
            for k in range(len(names))
        ]
    if not isinstance(names, list):
        raise ValueError(
            f'{path} has {brief(names)} as names: expected a list, or names by numbers '
            'from 0 on; correct it'
        )
    return names


def _said_twice(root: Any, content: Any) -> bool:
    """Whether names, or the number of a name, are said again: YAML takes the last."""
    named = [value for key, value in _pairs(root) if key.value == 'names']
    names = content.get('names') if isinstance(content, dict) else None
    again = isinstance(names, dict) and len(names) < len(_pairs(named[0]))
    return again or len(named) > 1


def _pairs(node: Any) -> list[tuple[Any, Any]]:
    """Nodes of the keys and values of a mapping of YAML."""
    return node.value if getattr(node, 'id', '') == 'mapping' else []


def _objects(path: Path, names: Sequence[str]) -> Objects:
    objects: Objects = []
    text = read_text_file(path, 'label file', max_bytes=MAX_BYTES)
    for number, line in enumerate(text.split('\n'), 1):
        words = line.split()
        if not words:
            continue
        where = f'{path} line {number}'
        if not (words[0].isascii() and words[0].isdigit() and len(words[0]) < 10):
            raise ValueError(
                f'{where} begins with {brief(words[0])}: expected the number of a '
                'class, 0 or more; correct the line'
            )
        label = int(words[0])
        if label >= len(names):
            raise ValueError(
                f'{where} has the class {label}: expected at most {len(names) - 1}, as '
                f'there are {len(names)} names; add the name, or correct the line'
            )
        objects.append((names[label], _box(words[1:], where)))
    return objects


def _box(words: Sequence[str], where: str) -> tuple[float, float, float, float]:
    """Corners as fractions, of a middle and sides or of an outline."""
    if len(words) != 4 and (len(words) < 6 or len(words) % 2):
        raise ValueError(
            f'{where} has {len(words)} numbers behind the class: expected 4, x y width '
            'height, or the pairs of an outline; predictions with scores are no labels'
        )
    pairs = list(zip(words[::2], words[1::2], strict=True))
    x1, y1, x2, y2 = enclosing(pairs, where, least=2)
    if len(words) == 4:
        (x, y), (width, height) = ((float(a), float(b)) for a, b in pairs)
        x1, y1, x2, y2 = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if min(x1, y1) < -1 or max(x2, y2) > 2 or x2 < x1 or y2 < y1:
        raise ValueError(
            f'{where} has the box {brief([*words][:4])}: expected fractions of the '
            'width and height, 0 to 1; divide pixels by the size of the image'
        )
    return x1, y1, x2, y2
