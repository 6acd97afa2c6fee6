"""Broken files, and such as were made to do harm; what is said of each.

``python -m lab.reliability files`` writes the list into the documentation.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmdefect.streams.state import StepState, StreamState
from mmdefect.utils.checkpoint import checkpoint_classes, load_weights, state_dict_of
from mmdefect.utils.dumped_config import check_types, read_dumped_config
from mmdefect.utils.images import read_bgr
from mmdefect.utils.text_files import MAX_TEXT_BYTES
from mmdefect.visualization.page import Table, markdown_table
from tests.helpers.image_files import GREY, REFUSED, packed
from tests.helpers.readers import COCO, KINDS, LABELME

Make = Callable[[Path], object]
Read = Callable[[Path], object]
EXECUTED = 'EXECUTED'
"""What code in a file would write into the folder that it lies in."""


@dataclass(frozen=True)
class Hostile:
    """One file.

    Args:
        group: What it pretends to be.
        about: What is wrong with it, for a reader.
        name: Of the file.
        make: Writes it.
        read: Reads it as the package does.
    """

    group: str
    about: str
    name: str
    make: Make
    read: Read

    def said(self, folder: Path) -> str:
        """What is said of it; ``'read'`` if nothing is."""
        path = folder / self.name
        self.make(path)
        try:
            self.read(path)
        except (ValueError, FileNotFoundError) as error:
            return str(error)
        return 'read'


def content(data: bytes | str) -> Make:
    raw = data.encode() if isinstance(data, str) else data
    return lambda path: path.write_bytes(raw)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to('/dev/zero')


def sparse(path: Path) -> None:
    """More than any text has, of no bytes on the disk."""
    with path.open('wb') as file:
        file.truncate(MAX_TEXT_BYTES + 1)


# -- images ---------------------------------------------------------------------------


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


# -- checkpoints ----------------------------------------------------------------------


class Calls:
    """Calls something when an ordinary loader reads it."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.function, self.args, self.state = function, args, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.args, self.state


def record(path: Path) -> Calls:
    """A NumPy record with a field `config`, which MMEngine would run as Python."""
    fields = [('config', '<U300'), ('epoch', '<i8'), ('x', '<U6')]
    value = np.zeros((), fields)
    value['config'] = f'open({str(path.parent / EXECUTED)!r}, "w")'
    value['x'] = 'config'
    scalar = np.float64(0).__reduce__()[0]
    return Calls(scalar, Calls(np.dtype, fields), value.tobytes())


def touch(path: Path) -> str:
    return f'touch {path.parent / EXECUTED}'


def saved(make: Callable[[Path], Any], **options: Any) -> Make:
    return lambda path: torch.save(make(path), path, **options)


def with_meta(make: Callable[[Path], Any]) -> Make:
    return saved(lambda path: {'state_dict': {'w': torch.ones(1)}, 'meta': make(path)})


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def packed_tightly(path: Path) -> None:
    """Weights of zeros, compressed: 16 MB in some kB."""
    stored = path.with_suffix('.stored')
    torch.save({'w': torch.zeros(1 << 22)}, stored)
    with (
        zipfile.ZipFile(stored) as source,
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    stored.unlink()


def flipped(path: Path) -> None:
    torch.save({'w': torch.ones(1000)}, path)
    data = bytearray(path.read_bytes())
    data[data.index(b'\x80\x3f\x00\x00\x80\x3f') + 1] ^= 1
    path.write_bytes(data)


def cut_off(path: Path) -> None:
    torch.save({'w': torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-100])


def read_checkpoint(path: Path) -> None:
    """As a start from it, or a resume, does."""
    loaded = load_weights(path)
    state_dict_of(loaded, path)
    checkpoint_classes(loaded, path)


def checkpoints() -> Iterator[Hostile]:
    ones = {'w': torch.ones(1)}
    of_state: dict[str, Callable[[Path], Any]] = {
        'weights that are a list': lambda _: {'state_dict': [torch.ones(1)]},
        'weights named by numbers': lambda _: {'state_dict': {3: torch.ones(1)}},
        'no weights': lambda _: {'state_dict': {}},
        'weights that are NaN': lambda _: {'state_dict': {'w': torch.tensor([np.nan])}},
        'a whole tensor': lambda _: torch.ones(2),
        'classes that are a number': lambda _: {
            'state_dict': ones, 'meta': {'dataset_meta': {'classes': 5}}
        },
        'a `meta` that is a list': lambda _: {'state_dict': ones, 'meta': [1]},
        'a model instead of its weights': lambda _: torch.nn.Linear(1, 1),
        'a tensor that repeats one value a billion times': lambda _: {
            'state_dict': {'w': torch.ones(1).expand(1 << 30)}
        },
        'a sparse tensor': lambda _: {'state_dict': {'w': torch.ones(2).to_sparse()}},
        'a tensor without content': lambda _: {
            'state_dict': {'w': torch.ones(2, device='meta')}
        },
    }  # fmt: skip
    of_meta: dict[str, Callable[[Path], Any]] = {
        'a command that loading runs': lambda path: Calls(os.system, touch(path)),
        'Python that loading evaluates': lambda path: Calls(
            eval, f'open({str(path.parent / EXECUTED)!r}, "w")'
        ),
        'a NumPy record that a resume would run': record,
        'an array over foreign memory': lambda _: Calls(
            np.ndarray, (4,), 'f8', bytes(8), -64
        ),
        'an array of objects from bytes': lambda _: Calls(
            np.ndarray, (1,), 'O', bytes(8)
        ),
        'attributes of a class': lambda _: Calls(getattr, np.ndarray, 'tofile'),
        '100 lists in each other': lambda _: nested(100),
        'bytes that can be changed': lambda _: bytearray(3),
        'a config that is a program': lambda path: {
            'config': f'open({str(path.parent / EXECUTED)!r}, "w")'
        },
    }
    of_file: dict[str, Make] = {
        'no bytes': content(b''),
        'text': content('no checkpoint'),
        'cut off': cut_off,
        'one bit changed': flipped,
        'compressed, to fill the memory': packed_tightly,
        'a plain pickle': content(pickle.dumps({'a': 1})),
        'a pipe': pipe,
        'a link to an endless device': endless,
        'a folder': Path.mkdir,
    }
    for about, make in of_state.items():
        yield Hostile('checkpoint', about, 'x.pth', saved(make), read_checkpoint)
    for about, make in of_meta.items():
        yield Hostile('checkpoint', about, 'x.pth', with_meta(make), read_checkpoint)
    old = saved(
        lambda path: {'w': Calls(os.system, touch(path))},
        _use_new_zipfile_serialization=False,
    )
    about = 'a command, in the format before torch 1.6'
    yield Hostile('checkpoint', about, 'x.pth', old, read_checkpoint)
    for about, write in of_file.items():
        yield Hostile('checkpoint', about, 'x.pth', write, read_checkpoint)
    for about, data in {
        'a header of 2^60 bytes': struct.pack('<Q', 1 << 60) + b'{}',
        'cut off': struct.pack('<Q', 200) + b'{"w":',
    }.items():
        name = 'x.safetensors'
        yield Hostile('safetensors', about, name, content(data), read_checkpoint)


# -- annotations ----------------------------------------------------------------------

LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "{}">]>'.format('&a;' * 1000)
YAML_LAUGHS = 'a: &a [x, x, x, x, x, x, x, x, x]\n' + ''.join(
    f'{new}: &{new} [{", ".join([f"*{old}"] * 9)}]\n'
    for old, new in zip('abcdefgh', 'bcdefghi', strict=True)
)
# Kind of file, what is wrong, and where in the file that is accepted: path, new value.
CHANGES: list[tuple[str, str, tuple[Any, ...], Any]] = [
    ('boxes', 'a box of NaN', ('annotations', 0, 'bbox', 2), float('nan')),
    ('boxes', 'a box at 1e308', ('annotations', 0, 'bbox', 0), 1e308),
    ('boxes', 'a box of text', ('annotations', 0, 'bbox'), 'left'),
    ('boxes', 'an image id that is a list', ('images', 0, 'id'), [1]),
    ('boxes', 'an image outside the folder', ('images', 0, 'file_name'), '../../x.png'),
    ('boxes', 'an image by absolute path', ('images', 0, 'file_name'), '/etc/passwd'),
    ('boxes', 'a file name with a zero byte', ('images', 0, 'file_name'), 'a\0b.png'),
    ('boxes', 'no list of images', ('images',), None),
    ('boxes', 'two classes of one name', ('categories', 1, 'name'), 'dent'),
    ('outlines', 'an outline of null', ('annotations', 0, 'segmentation', 0, 3), None),
    ('outlines', 'an outline at 1e18', ('annotations', 0, 'segmentation', 0, 3), 1e18),
    ('outlines', 'a mask of 100,000 x 100,000', ('annotations', 1, 'segmentation', 'size'), [10**5, 10**5]),  # noqa: E501
    ('outlines', 'runs that are negative', ('annotations', 1, 'segmentation', 'counts'), [-5, 2405]),  # noqa: E501
    ('labelme', 'a circle without end', ('shapes', 1, 'points', 1, 0), float('inf')),
    ('labelme', 'shapes that are text', ('shapes',), 'none'),
    ('labelme-boxes', 'a corner at NaN', ('shapes', 0, 'points', 0, 0), float('nan')),
    ('label-studio', 'a link out of the folder', (0, 'data', 'image'), '/data/upload/1/../../../etc/passwd'),  # noqa: E501
    ('label-studio', 'a box of 1e30 per cent', (0, 'annotations', 0, 'result', 0, 'value', 'width'), 1e30),  # noqa: E501
    ('meta', 'an image outside the folder', ('filename',), '../../etc/passwd'),
    ('meta', 'a label that is an object', ('label',), {'a': 1}),
]  # fmt: skip


def changed_sides() -> str:
    return json.dumps({**LABELME, 'imageHeight': 10**5, 'imageWidth': 10**5})


TEXTS: list[tuple[str, str, bytes | str]] = [
    ('boxes', '100,000 lists in each other', '[' * 100_000),
    ('boxes', 'a number of 5,000 digits', '9' * 5_000),
    ('boxes', 'text that is no UTF-8', b'{"images": "\xff\xfe\xfa"}'),
    ('boxes', 'a list instead of an object', '[]'),
    ('boxes', 'zero bytes, as a power cut leaves them', bytes(500)),
    ('boxes', 'half a file', json.dumps(COCO)[:200]),
    ('labelme', 'an image of 100,000 x 100,000', changed_sides()),
    ('voc', 'entities that multiply', f'{LAUGHS}<annotation>&b;</annotation>'),
    ('voc', 'a file of the system as an entity', '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>'),
    ('voc', 'an unknown encoding', '<?xml version="1.0" encoding="rot13"?><a/>'),
    ('voc', 'an infinite size', KINDS['voc'][0].replace('<width>60', '<width>1e999')),
    ('voc', '3,000 elements in each other', '<annotation>' * 3_000),
    ('voc', 'half a file', KINDS['voc'][0][:120]),
    ('cvat', 'entities that multiply', f'{LAUGHS}<annotations>&b;</annotations>'),
    ('cvat', 'a corner that is text', KINDS['cvat'][0].replace('xtl="5"', 'xtl="5px"')),
    ('cvat', 'an outline at 1e18', KINDS['cvat'][0].replace('9,1;', '1e18,1;')),
    ('yolo', 'a box of NaN', '0 0.5 0.5 nan 0.2\n'),
    ('yolo', 'a class that is not there', '7 0.5 0.5 0.1 0.2\n'),
    ('yolo-names', 'YAML that builds Python objects', '!!python/object/apply:os.system ["touch EXECUTED"]'),  # noqa: E501
    ('yolo-names', 'YAML that multiplies', f'{YAML_LAUGHS}names: *i\n'),
    ('visa', 'an image outside the folder', KINDS['visa'][0].replace('candle/0', '../../0')),  # noqa: E501
    ('visa', 'half a line', 'object,split,label,image,mask\ncandle,train\n'),
    ('casting', 'an image outside the folder', KINDS['casting'][0].replace('test/def', '../def')),  # noqa: E501
    ('names', 'an image outside the folder', '../../etc/passwd\n'),
    ('deeppcb', 'a box of 400 digits', f'1 2 {"9" * 400} 40 5\n'),
    ('deeppcb', 'a kind that is not there', '1 2 30 40 99\n'),
    ('deeppcb-list', 'a file outside the folder', '/etc/passwd g_not/0.txt\n'),
]  # fmt: skip
FILES: list[tuple[str, str, Make]] = [
    ('boxes', 'a pipe', pipe),
    ('boxes', 'a link to an endless device', endless),
    ('boxes', 'larger than any annotation file', sparse),
    ('voc', 'a pipe', pipe),
    ('voc', 'a link to an endless device', endless),
    ('voc', 'a folder', Path.mkdir),
]
TITLES = {
    'boxes': 'COCO', 'outlines': 'COCO masks', 'labelme': 'LabelMe masks',
    'labelme-boxes': 'LabelMe', 'label-studio': 'Label Studio', 'cvat': 'CVAT',
    'yolo': 'YOLO', 'yolo-names': 'YOLO names', 'meta': 'JSON lines',
    'voc': 'Pascal VOC', 'visa': 'VisA table', 'casting': 'split table',
    'names': 'split list',
    'deeppcb': 'DeepPCB', 'deeppcb-list': 'DeepPCB list',
}  # fmt: skip


def changed(kind: str, place: tuple[Any, ...], value: Any) -> str:
    whole = copy.deepcopy(KINDS[kind][0])
    box = whole
    for key in place[:-1]:
        box = box[key]
    box[place[-1]] = value
    return json.dumps(whole)


def annotations() -> Iterator[Hostile]:
    for kind, about, place, value in CHANGES:
        make = content(changed(kind, place, value))
        yield Hostile(TITLES[kind], about, 'given.json', make, KINDS[kind][1])
    for kind, about, text in TEXTS:
        yield Hostile(TITLES[kind], about, 'given.json', content(text), KINDS[kind][1])
    for kind, about, write in FILES:
        yield Hostile(TITLES[kind], about, 'given.json', write, KINDS[kind][1])


# -- work dirs ------------------------------------------------------------------------


def read_state_of(path: Path) -> None:
    StreamState.load(path.parent)


def state_naming(file: str) -> Make:
    step = StepState(0, ['b'], checkpoint=file)
    return lambda path: StreamState('a', ['b'], [step]).save(path.parent)


def read_types(path: Path) -> None:
    check_types(read_dumped_config(path), path)


def work_dirs() -> Iterator[Hostile]:
    programs = {
        'a statement': 'import os\nos.system("touch EXECUTED")\n',
        'a call': 'x = open("EXECUTED", "w")\n',
        'a call within a value': 'x = dict(a=[__import__("os").getcwd()])\n',
        '3,000 lists in each other': f'x = {"[" * 3000}{"]" * 3000}\n',
    }
    for about, text in programs.items():
        make = content(text)
        yield Hostile('config in a work dir', about, 'c.py', make, read_dumped_config)
    for about, text in {
        'a type that is a function': "model = dict(type='os.system')\n",
        'a type in a folder': "model = dict(a=[dict(type='shutil.rmtree')])\n",
    }.items():
        make = content(text)
        yield Hostile('config in a work dir', about, 'c.py', make, read_types)
    states: dict[str, Make] = {
        'a checkpoint elsewhere': state_naming('../../x.pth'),
        'a checkpoint by absolute path': state_naming('/etc/passwd'),
        'half a file': content('{"name": "a", "st'),
        'a list': content('[]'),
    }
    for about, write in states.items():
        yield Hostile('stream.json', about, 'stream.json', write, read_state_of)


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
