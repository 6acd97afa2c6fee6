"""Lists of images as the published code of UniAD, IUF and CDAD reads them.

One JSON object a line (CDAD: one JSON array)::

    {"filename": "bottle/test/crack/000.png", "label": 1, "label_name": "defective",
     "maskname": "bottle/ground_truth/crack/000_mask.png", "clsname": "bottle"}

Paths are relative to the root of the images and stay within it. ``maskname`` stands at
defective test images only; here it may be a list, whose masks are united. Without
``clsname`` the fourth component from the end of the path names the product.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mmdefect.datasets.anomaly.layout import GOOD, AnomalyImage, Scan
from mmdefect.utils.checks import brief, name_some, repeated
from mmdefect.utils.text_files import inner_path, parse_json, read_text_file

LABEL_NAMES = (GOOD, 'defective')


def read_meta_file(path: Path, root: Path) -> Scan:
    """Read a list, JSON Lines or a JSON array; names in it are relative to ``root``.

    A product of which no defective image has a mask is image-level; one of which some
    lack a mask is an error.

    Raises:
        FileNotFoundError: If the list is not there.
        ValueError: If it cannot be read, naming the line.
    """
    if not path.exists():
        raise FileNotFoundError(
            f'there is no list {path}: expected JSON Lines with filename and label; '
            'make them with tools/dataset_converters/ad_lists.py'
        )
    text = read_text_file(path, 'list')
    images = [_parse(entry, root, where=where) for where, entry in _entries(text, path)]
    scan = Scan(images)
    if not images:
        scan.errors.append(f'{path} is empty: expected one image a line')
    if twice := repeated(str(image.path) for image in images):
        scan.errors.append(
            f'{path} names images more than once ({name_some(twice)}): expected each '
            'once; remove the others (rebalance=True repeats images in training)'
        )
    _check_masks(scan, path)
    return scan


def _entries(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """Where an entry stands, for messages, and the entry."""
    is_array = text.lstrip().startswith('[')
    # Not splitlines(), which takes characters for line ends that a name may hold.
    parts = [text] if is_array else text.split('\n')
    for number, part in enumerate(parts, 1):
        if not part.strip():
            continue
        where = str(path) if is_array else f'{path} line {number}'
        what = 'list, an object a line or one array of objects'
        found = parse_json(part, where, what, None, cure='correct it.')
        if is_array:
            yield from ((f'{path} entry {i}', item) for i, item in enumerate(found, 1))
        else:
            yield where, found


def _parse(entry: Any, root: Path, *, where: str) -> AnomalyImage:
    if not isinstance(entry, dict) or not isinstance(entry.get('filename'), str):
        raise ValueError(
            f'{where} is {brief(entry)}: expected an object with "filename" and "label"'
        )
    label = entry.get('label')
    if label not in (0, 1):
        raise ValueError(
            f'{where} has the label {brief(label)}: expected 0 (good) or 1 (defective)'
        )
    name = PurePosixPath(inner_path(entry['filename'], where))
    masks = entry.get('maskname') or []
    masks = [masks] if isinstance(masks, str) else masks
    if not isinstance(masks, list) or not all(isinstance(mask, str) for mask in masks):
        raise ValueError(
            f'{where} has the maskname {brief(masks)}: expected the path of a mask, '
            'or a list of paths'
        )
    if masks and label == 0:
        raise ValueError(
            f'{where} gives the good image {name} the mask {masks[0]}: expected masks '
            'of defective images only; correct the label or remove the mask'
        )
    return AnomalyImage(
        path=root / name,
        product=_product(entry, name, where),
        defect=_defect(name) if label else GOOD,
        masks=tuple(root / inner_path(mask, where) for mask in masks),
    )


def _product(entry: dict[str, Any], name: PurePosixPath, where: str) -> str:
    if product := entry.get('clsname'):
        return str(product)
    if len(name.parts) < 4:
        raise ValueError(
            f'{where} has no "clsname" and the path {name}: expected a class name, or '
            'a path such as bottle/test/crack/000.png that holds it'
        )
    return name.parts[-4]


def _defect(name: PurePosixPath) -> str:
    """The kind of a defective image: its folder, unless that says nothing."""
    kind = name.parent.name
    return kind if kind and kind != GOOD else LABEL_NAMES[1]


def _check_masks(scan: Scan, path: Path) -> None:
    """Tell image-level products from forgotten masks."""
    defective = [image for image in scan.images if image.label]
    outlined = {image.product for image in defective if image.masks}
    scan.image_level += sorted({image.product for image in defective} - outlined)
    bare = [i for i in defective if not i.masks and i.product in outlined]
    if bare:
        names = name_some([str(image.path) for image in bare])
        scan.errors.append(
            f'{path} has defective images without "maskname" ({names}): expected one, '
            'as for others of the product; add what is missing'
        )


def meta_lines(images: Iterable[AnomalyImage], root: Path) -> list[str]:
    """Turn images below ``root`` into the lines of a list, one JSON object an image."""
    return [json.dumps(_entry(image, root)) for image in images]


def _entry(image: AnomalyImage, root: Path) -> dict[str, Any]:
    masks: Sequence[str] = [m.relative_to(root).as_posix() for m in image.masks]
    entry = {
        'filename': image.path.relative_to(root).as_posix(),
        'label': image.label,
        'label_name': LABEL_NAMES[image.label],
        'clsname': image.product,
    }
    if masks:
        entry['maskname'] = masks[0] if len(masks) == 1 else masks
    return entry
