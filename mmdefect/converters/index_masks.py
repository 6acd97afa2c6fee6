"""Annotations of any kind to index masks: PNGs of one channel that hold class ids.

::

    LabelMe: folder of *.json        ->  out/masks/<name>.png    0 background, 1, 2, ...
    COCO:    one JSON of polygons        out/classes.json        {"crack": 1, ...}
    plain PNGs of any values

Where annotations overlap, the later one of the file is on top.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmdefect.converters.annotated_shapes import Drawable, coco_images, labelme_images
from mmdefect.converters.mask_output import Masks, number_classes
from mmdefect.datasets.index_masks.pairs import find_files
from mmdefect.datasets.index_masks.pixels import MAX_ID
from mmdefect.utils.checks import name_some
from mmdefect.utils.images import read_mask

_COLOUR = 1 << 24
"""Added to colours, so that blue of 255 is not the grey value 255."""


def from_labelme(
    folder: Path,
    *,
    classes: Sequence[str] | None = None,
    line_width: int | None = None,
) -> Masks:
    """Draw the shapes of LabelMe: polygon, rectangle, circle, mask, line, linestrip.

    Args:
        folder: With JSON files, at any depth.
        classes: Names in the order of their ids; sorted by default.
        line_width: Of lines, which have no area of their own, in pixels.
    """
    return _draw(list(labelme_images(folder, line_width=line_width)), classes)


def from_coco(path: Path, *, classes: Sequence[str] | None = None) -> Masks:
    """Draw polygons and RLE of a COCO file.

    Args:
        path: The JSON file.
        classes: Names in the order of their ids; by category id by default.
    """
    images, names = coco_images(path)
    return _draw(images, classes if classes is not None else names)


def _draw(images: Sequence[Drawable], classes: Sequence[str] | None) -> Masks:
    """Masks of images, each given by name, height and width, and how to draw it."""
    if classes is None:
        # Drawn twice, to keep one image in memory.
        classes = sorted({label for *_, draw in images for label, _ in draw()})
    masks = Masks(number_classes(classes))
    unknown: Counter[str] = Counter()
    for name, shape, draw in images:
        mask = np.zeros(shape, np.uint8)
        for label, pixels in draw():
            if label in masks.classes:
                mask[pixels] = masks.classes[label]
            else:
                unknown[f'{label!r} of {name}'] += 1
        masks.add(name, mask)
    if unknown:
        masks.errors.append(
            f'unknown classes ({name_some(sorted(unknown))}): expected one of '
            f'{", ".join(masks.classes)}; add them to --classes, or correct the labels'
        )
    return masks


def from_png(folder: Path, *, values: Mapping[str, str] | None = None) -> Masks:
    """Give every value or colour of plain masks an id.

    Args:
        folder: With pictures of 8 or 16 bits, grey, palette or colour, at any depth.
        values: Class -> its grey value (``'255'``) or colour (``'#ff0000'``), in the
            order of their ids; all other values but 0 are refused. By default every
            value but 0 is a class of its own, named after it.
    """
    files = find_files(folder, 'mask')
    if values is None:
        there: set[int] = set()
        for path in files.values():
            there.update(np.unique(_codes(path)).tolist())
            if len(there) > MAX_ID + 1:
                raise ValueError(
                    f'the masks in {folder} hold more than {MAX_ID} values: expected '
                    'one a class; save antialiased or JPEG masks again, or say which '
                    'values are classes with --values'
                )
        known = {_value_name(code): code for code in sorted(there - {0})}
    else:
        known = {name: _parse(value) for name, value in values.items()}
    masks = Masks(number_classes(list(known)))
    if len(set(known.values())) < len(known) or 0 in known.values():
        raise ValueError(
            f'values={list(known.values())}: expected different ones for '
            f'{", ".join(known)}, and not 0, which is background; correct --values'
        )
    for name, path in files.items():
        masks.add(name, _renumber(path, known, masks))
    return masks


def _codes(path: Path) -> np.ndarray:
    """Grey values, or colours as 0x1RRGGBB, of a picture; int64, shape (H, W)."""
    pixels = read_mask(path)[0].astype(np.int64)
    if pixels.ndim == 2:
        return pixels
    if pixels.max(initial=0) > 255:
        raise ValueError(
            f'the mask {path} has colours of 16 bits: expected 8 bits a channel, or '
            'grey; save it again'
        )
    blue, green, red = np.moveaxis(pixels[..., :3], -1, 0)
    colour = (red << 16) + (green << 8) + blue + _COLOUR
    return np.where((red == green) & (red == blue), red, colour)


def _value_name(code: int) -> str:
    return f'#{code - _COLOUR:06x}' if code >= _COLOUR else f'value_{code}'


def _parse(value: str) -> int:
    colour = re.fullmatch(r'#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})', value)
    if colour:
        red, green, blue = (int(digits, 16) for digits in colour.groups())
        if red == green == blue:
            return red
        return (red << 16) + (green << 8) + blue + _COLOUR
    if value.isascii() and value.isdigit():
        return int(value)
    raise ValueError(
        f'a class has the value {value!r}: expected a grey value such as 255, or a '
        'colour such as #ff0000; correct --values'
    )


def _renumber(path: Path, known: Mapping[str, int], masks: Masks) -> np.ndarray:
    codes = _codes(path)
    mask = np.zeros(codes.shape, np.uint8)
    for name, code in known.items():
        mask[codes == code] = masks.classes[name]
    left = sorted(set(np.unique(codes[mask == 0]).tolist()) - {0})
    if left:
        masks.errors.append(
            f'{path} holds values of no class '
            f'({name_some([_value_name(code) for code in left])}): expected those of '
            f'{", ".join(known)}; add them to --values, or correct the mask'
        )
    return mask
