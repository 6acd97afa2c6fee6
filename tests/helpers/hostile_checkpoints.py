"""Checkpoints that are broken, or run what they hold when a plain loader reads them."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmdefect.utils.checkpoint import checkpoint_classes, load_weights, state_dict_of
from tests.helpers.hostile_file import EXECUTED, Hostile, Make, content, endless, pipe


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
