"""COCO annotation files, read by one set of rules for converter, dataset and metric.

What a user cannot mean wrongly is put right: ids of any kind, ``iscrowd`` and ``area``
in any spelling, backslashes in file names. Everything else that evaluators or the
training would stumble over is refused with one sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdefect.utils.checks import brief, name_some, repeated
from mmdefect.utils.files import write_text
from mmdefect.utils.image_header import LIMIT, max_pixels
from mmdefect.utils.text_files import (
    decode_text,
    inner_path,
    parse_json,
    read_text_file,
)

MAX_SIDE = 1_000_000
"""Largest width and height of an image in pixels; line scans are long."""
MAX_COORDINATE = 10_000_000
"""Of boxes and outlines, in pixels to either side of the corner."""
MAX_AREA = 1e10
"""What COCO's evaluators take for an object of any size."""
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""
WHAT = 'annotation file'
SECTIONS = ('images', 'annotations', 'categories')
NUMBERS = frozenset({int, float})
_FLAGS: dict[Any, int] = {
    **dict.fromkeys((None, '', 'false', 'no', 0, '0', '0.0'), 0),
    **dict.fromkeys(('true', 'yes', 1, '1', '1.0'), 1),
}


def read_coco(
    path: str | Path,
    *,
    boxes: bool = True,
    stock: bool = False,
    backend_args: dict | None = None,
) -> dict[str, Any]:
    """Read a COCO instances file; see :func:`normalise_coco`.

    Args:
        path: The JSON file.
        boxes: Whether every annotation needs a box; masks need none.
        stock: Whether mmdet's metric reads it, too: each image has its own id as
            ``file_id``, and there may be no annotations, as of images to submit.
        backend_args: Of MMEngine's file client, for files that are not local.
    """
    if backend_args is None:
        text = read_text_file(Path(path), WHAT)
    else:
        from mmengine.fileio import get

        text = decode_text(get(str(path), backend_args=backend_args), path)
    coco = parse_json(text, path, f'COCO {WHAT}')
    del text  # a large one: what it says takes five times its memory
    if not stock:
        return _normalised(coco, path, boxes=boxes, owned=True)
    found = _normalised({'annotations': [], **coco}, path, boxes=boxes, owned=True)
    for image, own in zip(found['images'], coco['images'], strict=True):
        image['file_id'] = own['id']
    return found


def normalise_coco(
    coco: Mapping[str, Any], source: object, *, boxes: bool = True
) -> dict[str, Any]:
    """Check every entry and write it in one way.

    - Ids of images and categories stay when all are whole numbers up to 2^53, however
      they are spelled; otherwise they become 1, 2, ... in the order of the file.
      Annotations are always numbered 1, 2, ...
    - File names are relative, with slashes, and each is there once.
    - ``iscrowd`` (and ``ignore``, if given) is 0 or 1, ``area`` a positive number, by
      default that of the box. With ``boxes`` every annotation needs one.
    - Unknown fields stay as they are; the given dictionary is not changed.

    Raises:
        ValueError: Naming the source, the entry, and what to do.
    """
    return _normalised(coco, source, boxes=boxes, owned=False)


def _normalised(
    coco: Mapping[str, Any], source: object, *, boxes: bool, owned: bool
) -> dict[str, Any]:
    """See :func:`normalise_coco`; of a file that is ``owned`` entries are changed."""
    for name in SECTIONS:
        if name not in coco:
            absent = ', '.join(repr(one) for one in SECTIONS if one not in coco)
            raise ValueError(
                f'{source} has no {absent}: expected a COCO instances file; convert '
                'the dataset again'
            )
        if not isinstance(coco[name], list):
            raise ValueError(
                f'{source} holds {name!r} as {brief(coco[name])}: expected a list of '
                'entries; convert the dataset again'
            )
    categories, category_ids = _numbered(coco['categories'], 'category', source)
    images, image_ids = _numbered(coco['images'], 'image', source)
    categories = _without_unused_twins(categories, category_ids, coco['annotations'])
    _check_names(categories, source)
    files = [_image(entry, where) for entry, where in _places(images, 'image', source)]
    _refuse_twice(files, source)
    annotations = []
    for number, entry in enumerate(coco['annotations'], 1):
        if _is_plain(entry, image_ids, category_ids, boxes=boxes):
            found = entry if owned else dict(entry)
            found['id'] = number
        else:
            where = _place(entry, 'annotation', number, source)
            found = _annotation(
                entry, where, number, image_ids, category_ids, boxes=boxes
            )
        annotations.append(found)
    return {
        **coco,
        'categories': categories,
        'images': files,
        'annotations': annotations,
    }


def _places(
    entries: Iterable[Any], kind: str, source: object
) -> Iterator[tuple[dict[str, Any], str]]:
    """Each entry, which must be an object, and how messages name it."""
    for number, entry in enumerate(entries, 1):
        yield entry, _place(entry, kind, number, source)


def _place(entry: Any, kind: str, number: int, source: object) -> str:
    """How messages name an entry, which must be an object."""
    where = f'{source}: {kind} {number}'
    if not isinstance(entry, dict):
        raise ValueError(
            f'{where} is {brief(entry)}: expected an object; convert the dataset again'
        )
    given = entry.get('id')
    if type(given) in (int, str) and given != number:
        where += f' (id {brief(given)})'
    return where


def _key(value: Any) -> int | str | None:
    """What an id means: 59, 59.0 and '59' are one; None if it is no id."""
    if isinstance(value, str) and value.strip():
        digits = value.removeprefix('-')
        plain = digits.isascii() and digits.isdigit() and len(digits) < 20
        return int(value) if plain and str(int(value)) == value else value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int else None


def _numbered(
    entries: list[Any], kind: str, source: object
) -> tuple[list[dict[str, Any]], dict[int | str, int]]:
    """Entries with whole numbers as ids, and the id of each key of the file."""
    keys: list[int | str] = []
    found = []
    for entry, where in _places(entries, kind, source):
        if (key := _key(entry.get('id'))) is None:
            raise ValueError(
                f'{where} has the id {brief(entry.get("id"))}: expected a number or '
                'text that no other has; number them again'
            )
        keys.append(key)
        found.append(entry)
    if twice := list(map(str, repeated(keys))):
        plural = {'category': 'categories', 'image': 'images'}[kind]
        raise ValueError(
            f'{source} uses ids of {plural} twice ({name_some(twice)}): expected '
            'every id once; number them again, or merge the entries of one image'
        )
    # faster-coco-eval counts in float64, where larger numbers run together.
    keep = all(isinstance(key, int) and abs(key) <= 2**53 for key in keys)
    ids = {key: int(key) if keep else n for n, key in enumerate(keys, 1)}
    numbered = [
        {**entry, 'id': ids[key]} for entry, key in zip(found, keys, strict=True)
    ]
    return numbered, ids


def _without_unused_twins(
    categories: list[dict[str, Any]],
    ids: Mapping[int | str, int],
    annotations: list[Any],
) -> list[dict[str, Any]]:
    """Leave out a parent of the same name as its class, as Roboflow writes it."""
    keys = {_key(a.get('category_id')) for a in annotations if isinstance(a, dict)}
    used = {ids[key] for key in keys if key is not None and key in ids}
    owners = {str(c.get('name')) for c in categories if c['id'] in used}
    return [
        one
        for one in categories
        if one['id'] in used or str(one.get('name')) not in owners
    ]


def _check_names(categories: list[dict[str, Any]], source: object) -> None:
    for entry, where in _places(categories, 'category', source):
        name = entry.get('name')
        if not isinstance(name, str) or not name.strip() or not _writable(name):
            raise ValueError(
                f'{where} has the name {brief(name)}: expected text; name the class, '
                'in quotes if it is a number'
            )
    if twice := repeated(category['name'] for category in categories):
        raise ValueError(
            f'{source} names classes twice ({name_some(twice)}): expected every name '
            'once; merge the categories, or rename one'
        )


def _image(entry: dict[str, Any], where: str) -> dict[str, Any]:
    size = image_size_of(entry, where)
    return {
        **entry,
        'file_name': inner_path(entry.get('file_name'), where),
        'width': size[0],
        'height': size[1],
    }


def image_size_of(
    entry: Mapping[str, Any],
    where: str,
    keys: tuple[str, str] = ('width', 'height'),
) -> tuple[int, int]:
    """Declared width and height of an image, in pixels.

    Raises:
        ValueError: If either is missing or no whole number, or the image too large.
    """
    sizes = []
    for key in keys:
        value: Any = entry.get(key)
        value = _key(value) if isinstance(value, str) else value
        sound = type(value) is int or (type(value) is float and value.is_integer())
        if not sound or not 1 <= value <= MAX_SIDE:
            given = brief(entry[key]) if key in entry else 'nothing'
            raise ValueError(
                f'{where} has {given} as {key}: expected the whole number of pixels '
                f'of its file, 1 to {MAX_SIDE}; write it from the file'
            )
        sizes.append(int(value))
    width, height = sizes
    # A mask of it takes as many bytes.
    if width * height > (limit := max_pixels()):
        raise ValueError(
            f'{where} is {width} pixels wide and {height} high: expected at most '
            f'{limit} pixels in all; correct the size, or raise the limit with {LIMIT}'
        )
    return width, height


def _refuse_twice(images: list[dict[str, Any]], source: object) -> None:
    if twice := repeated(image['file_name'] for image in images):
        raise ValueError(
            f'{source} lists files more than once ({name_some(twice)}): expected one '
            'entry a file, or the objects of one are background in the other; merge '
            'the entries, with all annotations under one id'
        )


def _is_plain(
    entry: Any,
    images: Mapping[int | str, int],
    categories: Mapping[int | str, int],
    *,
    boxes: bool,
) -> bool:
    """Whether nothing but the number of an annotation needs a change, as of most."""
    if type(entry) is not dict or 'ignore' in entry:
        return False
    image, category = entry.get('image_id'), entry.get('category_id')
    crowd, box = entry.get('iscrowd'), entry.get('bbox')
    area: Any = entry.get('area')
    return (
        type(image) is int
        and images.get(image) == image
        and type(category) is int
        and categories.get(category) == category
        and type(crowd) is int
        and crowd in (0, 1)
        and boxes
        and type(area) in NUMBERS
        and 0 < area <= MAX_AREA
        and type(box) is list
        and len(box) == 4
        and NUMBERS.issuperset(map(type, box))
        and min(box) >= -MAX_COORDINATE
        and max(box) <= MAX_COORDINATE
        and math.isfinite(sum(box))
    )


def _annotation(
    entry: dict[str, Any],
    where: str,
    number: int,
    images: Mapping[int | str, int],
    categories: Mapping[int | str, int],
    *,
    boxes: bool,
) -> dict[str, Any]:
    """One annotation in the way that both evaluators and the training read alike."""
    found = {**entry, 'id': number}
    for key, ids in (('image_id', images), ('category_id', categories)):
        wanted = _key(entry.get(key))
        if wanted is None or wanted not in ids:
            there = f'such as {brief(next(iter(ids)))}' if ids else 'but it lists none'
            raise ValueError(
                f'{where} names {key.removesuffix("_id")} {brief(entry.get(key))}: '
                f'expected an id that the file lists, {there}; convert the data again'
            )
        found[key] = ids[wanted]
    for key in ('iscrowd', 'ignore'):
        if key in entry or key == 'iscrowd':
            found[key] = _flag(entry.get(key), key, where)
    if boxes:
        found['bbox'] = _box(entry, where)
        width, height = found['bbox'][2:]
        area: Any = entry.get('area')
        if not _is_number(area) or not 0 < area <= MAX_AREA:
            found['area'] = max(width, 0) * max(height, 0)
    return found


def _flag(value: Any, key: str, where: str) -> int:
    plain = value.strip().lower() if isinstance(value, str) else value
    if isinstance(plain, list | dict) or plain not in _FLAGS:
        raise ValueError(
            f'{where} has {brief(value)} as {key}: expected 0 or 1; correct it'
        )
    return _FLAGS[plain]


def _box(entry: Mapping[str, Any], where: str) -> list[float]:
    """The box [x, y, width, height], four finite numbers."""
    box: Any = entry.get('bbox')
    if not box and isinstance(box, list | None) and entry.get('segmentation'):
        raise ValueError(
            f'{where} has an outline (segmentation) but no bbox: expected a box [x, '
            'y, width, height]; export boxes too, or compute them from the outlines'
        )
    sound = isinstance(box, list) and len(box) == 4
    if not sound or not all(_is_number(value, MAX_COORDINATE) for value in box):
        given = brief(box) if 'bbox' in entry else 'no bbox'
        raise ValueError(
            f'{where} has {given}{" as bbox" if "bbox" in entry else ""}: expected a '
            f'box [x, y, width, height] of four numbers within {MAX_COORDINATE} '
            'pixels; correct or remove the annotation'
        )
    return box


def _is_number(value: Any, most: float = 1e300) -> bool:
    return type(value) in (int, float) and abs(value) <= most  # int may be any length


def boxes_in_frame(
    coco: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], str | None]:
    """Choose annotations whose box lies in its image, for training and scoring alike.

    Boxes without area in the image are left out, those that reach out of it by more
    than COCO's rounding of half a pixel are clipped.

    Returns:
        The annotations, and a sentence that names what was dropped or clipped.
    """
    images = {image['id']: image for image in coco['images']}
    sizes = {key: (image['width'], image['height']) for key, image in images.items()}
    kept, dropped, clipped = [], [], []
    for annotation in coco['annotations']:
        width, height = sizes[annotation['image_id']]
        x, y, w, h = annotation['bbox']
        box = (x, y, x + w, y + h)
        in_frame = x >= 0 and y >= 0 and box[2] <= width and box[3] <= height
        if in_frame and has_area(box):
            kept.append(annotation)
            continue
        inside = clip_box(box, width=width, height=height)
        image = images[annotation['image_id']]
        where = f'{image["file_name"]} {list(box)}'
        if not has_area(inside):
            dropped.append(where)
            continue
        if max(abs(a - b) for a, b in zip(box, inside, strict=True)) > 0.5:
            clipped.append(where)
            x1, y1, x2, y2 = inside
            area = min(annotation['area'], (x2 - x1) * (y2 - y1))
            annotation = {**annotation, 'bbox': [x1, y1, x2 - x1, y2 - y1]}
            annotation['area'] = area
        kept.append(annotation)
    if not dropped and not clipped:
        return kept, None
    return kept, (
        f'degenerate boxes dropped {name_some(dropped)}; out-of-frame boxes clipped '
        f'{name_some(clipped)}.'
    )


def _writable(text: str) -> bool:
    """Whether text can be stored as UTF-8: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return '\0' not in text


def clip_box(box: Box, *, width: float, height: float) -> Box:
    """Clip a box to its image; it has no area when it lies outside."""
    x1, y1, x2, y2 = box
    x1, x2 = (min(max(x, 0), width) for x in (x1, x2))
    y1, y2 = (min(max(y, 0), height) for y in (y1, y2))
    return x1, y1, x2, y2


def has_area(box: Box) -> bool:
    """Say whether a box is at least one pixel wide and high, as mmdet wants it."""
    return box[2] - box[0] >= 1 and box[3] - box[1] >= 1


def save_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON, creating the folder.

    Raises:
        ValueError: If it holds NaN or infinity, which JSON has no way to write, or
            nests too deeply.
    """
    try:
        text = json.dumps(content, separators=(',', ':'), allow_nan=False)
    except RecursionError as error:
        raise ValueError(
            f'{path} would nest lists or objects too deeply: expected a few levels; '
            'correct the source'
        ) from error
    except ValueError as error:
        raise ValueError(
            f'{path} would hold NaN or an infinite number: expected finite ones, '
            'which every reader of JSON knows; correct the source'
        ) from error
    write_text(path, text)
