"""An image with a verdict and its file: what an export is made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.deploy.saving import plain_stem
from mmdefect.line.decided import picture_of, unchanged
from mmdefect.line.truth import Box, Thing, things_of
from mmdefect.utils.checks import visible
from mmdefect.utils.image_header import SUFFIXES, ImageError, header_of
from mmdefect.utils.images import decode, turn, write_png

if TYPE_CHECKING:
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row

GOOD = 'good'
"""What a folder of images without a defect is called."""


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """An image with a verdict, and its file.

    Attributes:
        row: Its newest verdict.
        path: Where its picture lies, which was unchanged.
        size: Width and height as viewers show it, in pixels.
        things: The defects that it shows; none on a good one.
        orientation: Of EXIF, by which viewers turn it; 1 for not at all.
    """

    row: Row
    path: Path
    size: tuple[int, int]
    things: tuple[Thing, ...]
    orientation: int = 1

    @property
    def boxes(self) -> list[Box]:
        """Where its defects are; none unless all of them have a box."""
        found = [box for _, box in self.things if box is not None]
        return found if len(found) == len(self.things) else []

    @property
    def is_plain(self) -> bool:
        """Whether its file can be copied as it is, and means the same to everyone."""
        return self.orientation == 1 and self.path.suffix.lower() in SUFFIXES

    @property
    def name(self) -> str:
        """Of its file in an export: as it was called, and digits of its hash."""
        stem = (plain_stem(self.row.source or '') or 'image').lstrip('.') or 'image'
        digits = str(self.row.image).rpartition(':')[2][:12]
        suffix = self.path.suffix.lower() if self.is_plain else '.png'
        return f'{stem}-{digits}{suffix}'

    def told(self, why: str) -> str:
        """Name it and say what it lacks."""
        return told(self.row, why)

    def write(self, path: Path) -> None:
        """Write its picture, upright, creating the folder.

        Raises:
            OSError: It cannot be written.
            ValueError: The file was changed since it was found.
        """
        found = unchanged(self.path, str(self.row.image))
        if found is None:
            raise ValueError(
                f'{self.path} was changed while it was exported: expected it to stay '
                'as it was decided on; restore it, and export again'
            )
        if self.is_plain:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found.data)
        else:
            header = header_of(found.data)
            write_png(path, turn(decode(found.data, header), header.orientation))


def reviewed(line: Line, row: Row) -> Reviewed | str:
    """The image of a verdict, or why there is none that could be exported."""
    if row.body.get('good') is None:
        return told(
            row,
            'of an unknown product, and nobody has said whether it is good; say '
            "'false-alarm' or 'missed'",
        )
    try:
        found = picture_of(line, row.image, row.source)
    except (OSError, ValueError) as error:
        return told(row, str(error))
    if found is None:
        return told(row, f'gone, keep_images is {line.settings.keep_images!r}')
    try:
        header = header_of(found.data)
    except ImageError as error:
        return told(row, f'{found.path}: {error}')
    return Reviewed(
        row=row,
        path=found.path,
        size=header.size(turned=header.orientation > 1),
        things=tuple(things_of(row)),
        orientation=header.orientation,
    )


def told(row: Row, why: str) -> str:
    """Name an image and say what it lacks."""
    return f'{visible(str(row.source))} {str(row.image)[:12]} ({why})'
