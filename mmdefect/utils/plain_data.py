"""What a checkpoint's pickle may hold: stand-ins while it is read, plain values after.

A pickle calls what it names, with arguments of its own. So every name that checkpoints
need beyond torch's own stands for a class that only keeps what it is given, and what
was kept is looked at when all is read: nothing of NumPy or MMEngine is ever called with
arguments that were not checked.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from torch import Tensor, nn

SCALARS = (str, bytes, bool, int, float, type(None))
# The log history has the first two, a metric may log the others.
DTYPES = ('f8', 'i8', 'f4', 'b1')
# Real ones are below 10 deep and below 100,000 entries.
DEEPEST, MOST_ENTRIES = 50, 2_000_000
# What a file may claim beyond its own bytes, by tensors that repeat their values.
MOST_REPEATED = 64 << 20


class _Kept:
    """Stands where a pickle names something to call: keeps the arguments, no more."""

    name = ''
    args: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _stand_in(name: str) -> type[_Kept]:
    return type('_StandIn', (_Kept,), {'name': name})


# Every HistoryBuffer pickles its methods as `getattr(HistoryBuffer, 'min')`: those that
# it has anyway.
_GETATTR = _stand_in('builtins.getattr')
_HISTORY = _stand_in('mmengine.logging.history_buffer.HistoryBuffer')
_DTYPE = _stand_in('numpy.dtype')
_ARRAY = _stand_in('numpy.ndarray')
_SCALAR = _stand_in('numpy.core.multiarray.scalar')


def allowed_globals() -> list[Any]:
    """Return what a real MMEngine checkpoint names beyond torch's own allow-list."""
    # numpy 2 moved its core; files written by either must load under the other.
    functions = [
        (stand_in, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for stand_in, name in ((_ARRAY, '_reconstruct'), (_SCALAR, 'scalar'))
    ]
    classes = [(kind, kind.name) for kind in (_GETATTR, _HISTORY, _DTYPE, _ARRAY)]
    return [*classes, *functions]


class NotPlainError(ValueError):
    """Something that is no plain value; tells its name and where it is."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__(f'{name} in {place}')
        self.name, self.place = name, place


def storable(value: Any) -> Any:
    """Write in plain types what :func:`plain_value` would refuse to read.

    Dicts of any kind (a config's, too) become dicts, NumPy's arrays lists and its
    numbers Python's, sets sorted lists, sequences of other types tuples.
    """
    if isinstance(value, Mapping):
        return {key: storable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return storable(value.tolist())
    if isinstance(value, set | frozenset):
        return sorted(map(storable, value), key=repr)
    if isinstance(value, list | tuple | deque):
        entries = [storable(entry) for entry in value]
        return entries if isinstance(value, list) else tuple(entries)
    for plain in (str, int, float):
        if isinstance(value, plain) and not isinstance(value, bool):
            return plain(value)
    return value


def plain_value(value: Any, *, file_bytes: int) -> Any:
    """Rebuild what was unpickled from plain values only.

    Args:
        value: What a pickle of :func:`allowed_globals` holds.
        file_bytes: Size of its file; a tensor cannot hold much more.

    Returns:
        The same of exactly dict, OrderedDict, Counter, list, tuple, set, texts, bytes,
        numbers, None, dense tensors, NumPy arrays and numbers of four kinds, and
        MMEngine's ``HistoryBuffer``.

    Raises:
        NotPlainError: It holds anything else, is nested too deeply or has too many
            entries.
    """
    return _Rebuild(file_bytes + MOST_REPEATED).value(value)


class _Rebuild:
    """One walk through what was unpickled."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.entries = 0
        self.place: list[Any] = []

    def value(self, value: Any) -> Any:
        kind = type(value)
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise self.refusal(f'more than {MOST_ENTRIES:,} entries')
        if kind in SCALARS:
            return value
        if len(self.place) > DEEPEST:
            raise self.refusal(f'more than {DEEPEST} containers in each other')
        if kind is Tensor or kind is nn.Parameter:
            return self.tensor(value)
        if kind in (dict, OrderedDict, Counter):
            return self.mapping(value)
        if kind in (list, tuple):
            return kind(self.items(value))
        if kind is set:
            return {self.key(item) for item in value}
        return self.built(value)

    def items(self, values: list[Any] | tuple[Any, ...]) -> Iterator[Any]:
        for index, item in enumerate(values):
            with self.inside(index):
                yield self.value(item)

    def mapping(self, found: dict[Any, Any]) -> dict[Any, Any]:
        rebuilt: Any = type(found)()
        # Not its own method: a pickle can lay another over it.
        for key, item in dict.items(found):
            with self.inside(key):
                rebuilt[self.key(key)] = self.value(item)
        # Versions of a state dict's modules; torch reads older weights by them.
        versions = vars(found).get('_metadata') if type(found) is OrderedDict else None
        if versions is not None:
            with self.inside('_metadata'):
                rebuilt._metadata = self.value(versions)
        return rebuilt

    def key(self, key: Any) -> Any:
        if type(key) is tuple and len(key) < DEEPEST:
            with self.inside('(key)'):
                return tuple(self.items(key))
        if type(key) not in SCALARS:
            raise self.refusal(_name(key))
        return key

    def tensor(self, found: Tensor) -> Tensor:
        # A new one: a pickle can hang attributes and hooks on the old.
        tensor = Tensor.detach(found)
        if tensor.layout is not torch.strided or tensor.is_nested or tensor.is_meta:
            raise self.refusal('a tensor that is not dense')
        if tensor.numel() * tensor.element_size() > self.most_bytes:
            raise self.refusal(
                f'a tensor of shape {tuple(tensor.shape)}, more than the file has,'
            )
        return tensor

    def built(self, found: Any) -> Any:
        """What one of the stand-ins stands for."""
        kind = type(found)
        rebuilt = None
        if kind is _ARRAY:
            rebuilt = _array(found.state)
        elif kind is _SCALAR and len(found.args) == 2:
            rebuilt = _array((1, (1,), found.args[0], False, found.args[1]))
            rebuilt = None if rebuilt is None else rebuilt[0]
        elif kind is _HISTORY and type(found.state) is dict:
            rebuilt = self.history(found.state)
        if rebuilt is None:
            raise self.refusal(_name(found))
        return rebuilt

    def history(self, state: dict[str, Any]) -> HistoryBuffer | None:
        # A pickle of an empty or a young one is the same.
        names = ('_log_history', '_count_history', 'max_length')
        log, count, most = (self.value(state.get(name)) for name in names)
        arrays = isinstance(log, np.ndarray) and isinstance(count, np.ndarray)
        if not arrays or type(most) is not int or most < 1:
            return None
        if log.ndim != 1 or log.shape != count.shape or len(log) > most:
            return None
        return HistoryBuffer(log, count, most)

    @contextmanager
    def inside(self, key: Any) -> Iterator[None]:
        self.place.append(key)
        yield
        self.place.pop()  # after an error it says where

    def refusal(self, name: str) -> NotPlainError:
        place = '.'.join(repr(key).strip("'")[:40] for key in self.place[:6])
        return NotPlainError(name, place or 'its outermost value')


def _array(state: Any) -> np.ndarray | None:
    """An array of what ``ndarray.__reduce__`` keeps; None if it is not one of ours."""
    if type(state) is not tuple or len(state) != 5:
        return None
    _, shape, dtype, transposed, data = state
    dtype = _dtype(dtype)
    sizes = shape if type(shape) is tuple and len(shape) < 9 else (None,)
    if dtype is None or not all(type(size) is int and size >= 0 for size in sizes):
        return None
    number = math.prod(sizes)
    if type(data) is not bytes or len(data) != number * dtype.itemsize:
        return None
    flat = np.frombuffer(data, dtype) if number else np.empty(0, dtype)
    shaped = flat.reshape(sizes, order='F' if transposed is True else 'C')
    return np.array(shaped, dtype.newbyteorder('='))


def _dtype(found: Any) -> np.dtype | None:
    if type(found) is not _DTYPE or type(found.state) is not tuple or not found.args:
        return None
    code, order = found.args[0], found.state[1:2]
    if type(code) is not str or code not in DTYPES:
        return None
    return np.dtype(code).newbyteorder('>' if order == ('>',) else '=')


def _name(found: Any) -> str:
    kind = found if isinstance(found, type) else type(found)
    if issubclass(kind, _Kept):
        return kind.name
    return f'{kind.__module__}.{kind.__qualname__}'.removeprefix('builtins.')
