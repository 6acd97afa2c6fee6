"""Broken files, and such as were made to do harm; what is said of each.

``python -m lab.reliability files`` writes the list into the documentation.
"""

from __future__ import annotations

import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mmdefect.utils.images import read_bgr
from mmdefect.visualization.page import Table, markdown_table
from tests.helpers.hostile_annotations import annotations, work_dirs
from tests.helpers.hostile_checkpoints import checkpoints
from tests.helpers.hostile_file import (
    EXECUTED,
    Hostile,
    Make,
    content,
    endless,
    pipe,
)
from tests.helpers.image_files import GREY, REFUSED, packed


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return (
        struct.pack('>I', len(data)) + checked + struct.pack('>I', zlib.crc32(checked))
    )


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are those of one line."""
    head = png_chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0))
    pixels = png_chunk(b'IDAT', zlib.compress(bytes(9)))
    return b'\x89PNG\r\n\x1a\n' + head + pixels + png_chunk(b'IEND', b'')


def with_large_text() -> bytes:
    """A picture whose comment unpacks to 100 MB."""
    whole = packed(GREY, 'PNG')
    text = png_chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(100_000_000), 9))
    return whole[:33] + text + whole[33:]


def images() -> Iterator[Hostile]:
    odd: dict[str, tuple[str, Make]] = {
        'a folder': ('folder.png', Path.mkdir),
        'not there': ('missing.png', lambda _: None),
        'a pipe, which never ends': ('pipe.png', pipe),
        'a link to an endless device': ('zero.png', endless),
        'claims 60,000 x 60,000 pixels': ('bomb.png', content(png(60_000, 60_000))),
        'claims 65,535 x 65,535 pixels, as GIF': (
            'bomb.gif',
            content(b'GIF89a\xff\xff\xff\xff\x80\0\0' + bytes(20)),
        ),
        'claims 8 x 1,000,000,000 pixels': ('line.png', content(png(8, 10**9))),
        'claims no width': ('no_width.png', content(png(0, 8))),
        'claims more lines than there are': ('lines.png', content(png(8, 8))),
        'a comment that unpacks to 100 MB': ('text.png', content(with_large_text())),
        'PostScript that runs a command': (
            'script.png',
            lambda path: path.write_text(
                f'%!PS\n(%pipe%touch {path.parent}/{EXECUTED}) (w) file\n'
            ),
        ),
        'SVG with a script': (
            'picture.png',
            content('<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>'),
        ),
    }
    about = {
        'empty.png': 'no bytes',
        'text.png': 'text',
        'cut.jpg': 'JPEG, cut off',
        'cut_at_the_end.jpg': 'JPEG without its last bytes',
        'cut.png': 'PNG, cut off',
        'cut.bmp': 'BMP, cut off',
        'cut.tif': 'TIFF, cut off',
        'float.tif': 'TIFF of floating-point values',
        'float_colour.tif': 'TIFF of floating-point colours',
        'whole.tif': 'TIFF of 32-bit numbers',
        'cmyk.tif': 'TIFF of CMYK colours',
        'lab.tif': 'TIFF of LAB colours',
        'moving.gif': 'animated GIF',
        'moving.png': 'animated PNG',
        'pages.tif': 'TIFF of two pages',
    }
    for name, (data, _) in REFUSED.items():
        yield Hostile('image', about[name], name, content(data), read_bgr)
    for text, (name, make) in odd.items():
        yield Hostile('image', text, name, make, read_bgr)


def every() -> list[Hostile]:
    """All files, each with a number that tells it from others of its name."""
    return [*images(), *checkpoints(), *annotations(), *work_dirs()]


def shortened(said: str, folder: Path) -> str:
    """What a message says is wrong, without the folder and without the cure."""
    text = said.replace(f'{folder}/', '').replace(str(folder), 'FOLDER')
    text = re.split(r': (?:expected|correct|if you trust)|, which was refused', text)[0]
    text = re.sub(r'\s+', ' ', text.encode('ascii', 'backslashreplace').decode())
    return text if len(text) <= 120 else f'{text[:117]}...'


def lines() -> list[str]:
    """The table of the documentation."""
    rows = []
    for one in every():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows.append((one.group, one.about, shortened(one.said(folder), folder)))
    table = markdown_table(Table(('file', 'what is wrong', 'what is said'), rows, ()))
    return [f'{len(rows)} files.', '', *table.splitlines()]


MARKS = '<!-- hostile files -->\n', '<!-- /hostile files -->'


def filled_in(document: str) -> str:
    """The document with the table between its marks."""
    before, _, rest = document.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return '\n'.join([f'{before}{MARKS[0]}', *lines(), '', f'{MARKS[1]}{after}'])
