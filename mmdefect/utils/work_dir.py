"""A work dir claimed by what it was begun with: nothing else is resumed in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdefect.utils.environment import describe_environment, joined
from mmdefect.utils.files import write_json


def read_state(path: Path) -> dict[str, Any]:
    """Read what a work dir notes of itself, empty while it is unclaimed."""
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}


def begin(
    path: Path, key: str, value: str, *, occupied: bool, expected: str, **more: Any
) -> None:
    """Note what a work dir is for, or refuse it.

    Args:
        path: The note, a JSON file in the work dir.
        key: Its entry that tells what the work dir was begun with.
        value: What is begun now.
        occupied: Whether something else may not take the work dir over.
        expected: What has to be the same, for the message.
        more: Further entries.

    Raises:
        ValueError: Another value was begun here, or nobody knows which.
    """
    state = read_state(path)
    if state.get(key) == value:
        return
    if occupied:
        raise ValueError(
            f'{path.parent}: expected {expected}; give another --work-dir, or delete '
            'this one'
        )
    write_json(path, {**state, key: value, **more}, lasting=True)


def add_environment(
    path: Path, environment: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """Note where a part of the work was done, ``'a; b'`` if parts differ.

    Args:
        path: The note, a JSON file in the work dir.
        environment: ``commit``, ``hardware`` and ``software``; by default of here.
        more: Further entries.

    Returns:
        All entries.
    """
    state = read_state(path) | more
    here = environment or describe_environment()
    state['environment'] = joined(state.get('environment', {}), here)
    write_json(path, state, lasting=True)
    return state
