"""Damaged files of every kind: each is read, or refused in our words with its name.

Slow are most of the seeds; ``python -m lab.reliability fuzz`` takes any number.
"""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.readers import KINDS

SEEDS, ALL_SEEDS = 40, 200
"""Of each kind, in the fast and in the slow tier."""
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 0.5, 1e308, -1e18, 10**30, float('nan'), float('inf'),
    '', ' ', '1', 'x', '\u200b', '\ud800', 'a\0b', '../x', '/x', 'C:\\x', 'n' * 400,
    [], {}, [[[]]], [None], [1, 2, 3, 4], {'a': 1}, [[1, 2, 3, 4, 5, None]],
)  # fmt: skip


def places(content: Any) -> list[tuple[Any, Any]]:
    """Every container of a structure with every key of it."""
    found = []
    if isinstance(content, dict | list):
        keys = list(content) if isinstance(content, dict) else range(len(content))
        for key in keys:
            found += [(content, key), *places(content[key])]
    return found


def change_structure(content: Any, rng: random.Random) -> str:
    """Replace, remove or repeat entries."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        box, key = rng.choice(places(content) or [([0], 0)])
        what = rng.choice(['replace', 'replace', 'replace', 'remove', 'repeat'])
        if what == 'replace':
            box[key] = copy.deepcopy(rng.choice(ODD))
        elif what == 'remove':
            box.pop(key)
        elif isinstance(box, list):
            box.append(box[key])
        else:
            box[f'{key}2'] = box[key]
    return json.dumps(content)


def change_bytes(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip, insert or repeat bytes, or store the text in another way."""
    what = rng.choice(['cut', 'flip', 'insert', 'repeat', 'encode'])
    first, last = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    if what == 'cut':
        return data[:first] + data[last:]
    if what == 'flip':
        flipped = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            flipped[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(flipped)
    if what == 'insert':
        return data[:first] + rng.choice(INSERTED) + data[first:]
    if what == 'repeat':
        return data[:last] + data[first:]
    return data.decode().encode(rng.choice(['utf-16', 'utf-16-le', 'utf-8-sig']))


INSERTED = (
    b'\0', b'\xff', b'\xef\xbb\xbf', b'[' * 50_000, b'9' * 5_000, b'"', b',', b'\n',
    b'\\', b'../', b'1e999', b'NaN', b'\xc2\xb2', b'<', b'&x;', b'\r',
)  # fmt: skip


def damage(content: Any, rng: random.Random) -> bytes:
    if isinstance(content, str):
        return change_bytes(content.encode(), rng)
    if rng.random() < 0.7:
        return change_structure(content, rng).encode()
    return change_bytes(json.dumps(content).encode(), rng)


@pytest.mark.parametrize('kind', KINDS)
def test_exception_every_damage_has_one_sentence(tmp_path: Path, kind: str) -> None:
    read_damaged(tmp_path, kind, range(SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_exception_of_many_more(tmp_path: Path, kind: str) -> None:
    read_damaged(tmp_path, kind, range(SEEDS, ALL_SEEDS))


def read_damaged(tmp_path: Path, kind: str, seeds: range) -> int:
    """How many of the damaged files were refused; each in our words."""
    content, read = KINDS[kind]
    path = tmp_path / 'given.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    read(path)  # as it should be
    refused = []
    for seed in seeds:
        path.write_bytes(damage(content, random.Random(f'{kind} {seed}')))
        try:
            read(path)
        except Exception as error:
            refused.append((seed, type(error), str(error)))
    assert refused
    for seed, error_type, message in refused:
        assert error_type in (ValueError, FileNotFoundError), (seed, message)
        assert str(tmp_path) in message, (seed, message)
        assert len(message) < 900, (seed, message)
        message.encode()  # can be printed
    return len(refused)
