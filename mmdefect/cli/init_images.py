"""What is worth knowing of image files before they are trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmdefect.datasets.images import broken_error, look_at
from mmdefect.utils.checks import name_some
from mmdefect.utils.image_header import ImageError, header_of, read_bytes
from mmdefect.utils.images import decode

SAMPLE = 20
"""How many images are decoded to see whether they are grey."""


@dataclass
class Looked:
    """What a set of images is like.

    Args:
        sizes: Width and height of each image that can be read, in pixels.
        deep: Images of 16 bits.
        turned: Images with an EXIF orientation.
        grey: Whether those of a sample have equal channels, or one.
        errors: A sentence that names the files that cannot be read.
    """

    sizes: list[tuple[int, int]] = field(default_factory=list)
    deep: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    grey: bool = False
    errors: list[str] = field(default_factory=list)

    @property
    def typical(self) -> tuple[int, int]:
        """Median of the longer and of the shorter sides."""
        longer = sorted(max(size) for size in self.sizes)
        shorter = sorted(min(size) for size in self.sizes)
        middle = len(self.sizes) // 2
        return longer[middle], shorter[middle]

    def found(self) -> list[str]:
        """Lines that say sizes and depth."""
        common = Counter(self.sizes).most_common(3)
        sizes = ', '.join(f'{n} of {w} x {h}' for (w, h), n in common)
        rest = len(set(self.sizes)) - len(common)
        more = f' and {rest} other sizes' if rest > 0 else ''
        colour = 'grey' if self.grey else 'coloured'
        deep = f', {len(self.deep)} of 16 bits' if self.deep else ''
        return [f'images: {len(self.sizes)}, {colour}{deep}; {sizes}{more}']

    def warnings(self) -> list[str]:
        """What may be a mistake, one sentence each."""
        found = []
        areas = [width * height for width, height in self.sizes]
        if max(areas) > 4 * min(areas):
            found.append(
                'the largest image has more than four times the pixels of the '
                'smallest: all are brought to one size, so equal defects become '
                'unequal; cut or sort them if they are of different cameras'
            )
        if self.turned:
            found.append(
                f'images with an EXIF orientation ({name_some(self.turned)}): stored '
                'and shown pixels differ; save them upright to be safe'
            )
        return found


def look(root: Path, names: Sequence[str]) -> Looked:
    """Read the header of every image, and decode a few.

    Args:
        root: Folder that names are relative to.
        names: Image files.
    """
    result = Looked()
    broken = []
    for name in names:
        facts = look_at(root / name)
        if facts.header is None:
            broken.append(f'{root / name} ({facts.error})')
            continue
        result.sizes.append(facts.header.size())
        if facts.header.bits > 8:
            result.deep.append(name)
        if facts.header.orientation > 1:
            result.turned.append(name)
    result.errors = broken_error(broken)
    step = max(len(names) // SAMPLE, 1)
    result.grey = all(_is_grey(root / name) for name in names[::step][:SAMPLE])
    return result


def _is_grey(path: Path) -> bool:
    try:
        data = read_bytes(path)
        pixels = decode(data, header_of(data))
    except ImageError:  # named elsewhere
        return True
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return True
    return bool(np.array_equal(pixels[..., 0], pixels[..., 1])) and bool(
        np.array_equal(pixels[..., 1], pixels[..., 2])
    )
