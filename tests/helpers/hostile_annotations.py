"""Annotations and work dirs that are broken, or lead somewhere else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmdefect.streams.state import StepState, StreamState
from mmdefect.utils.dumped_config import check_types, read_dumped_config
from tests.helpers.hostile_file import Hostile, Make, content, endless, pipe, sparse
from tests.helpers.readers import COCO, KINDS, LABELME

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
