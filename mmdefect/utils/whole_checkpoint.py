"""Checkpoints of a work dir: written to last, and the newest one that is whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from mmdefect.utils.checkpoint import (
    check_archive,
    load_weights,
    pointed_checkpoint,
    state_dict_of,
)
from mmdefect.utils.checks import some_of
from mmdefect.utils.files import file_sha256, flush, write_text

# What a training writes on its way; `best_*.pth` holds no optimizer.
_NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def hash_beside(path: Path) -> Path:
    """The file with a checkpoint's SHA-256, as ``sha256sum -c`` reads it."""
    return path.with_name(f'{path.name}.sha256')


def publish(draft: Path, path: Path) -> None:
    """Give a checkpoint its name once it is on the disk and was read back.

    Its hash comes beside it. A kill at any moment leaves the file that was there, or
    the new one, with its hash or without one.

    Raises:
        OSError: The disk is full, or cannot be written.
        ValueError: What was read back is not what was written.
    """
    flush(draft)
    check_archive(draft)
    digest = file_sha256(draft)
    hash_beside(path).unlink(missing_ok=True)  # of another file of this name
    draft.replace(path)
    _write_hash(path, digest)


def settle(path: Path) -> None:
    """Finish what a kill kept :func:`publish` from: the hash of a whole checkpoint."""
    if not hash_beside(path).is_file() and trouble_with(path) is None:
        _write_hash(path, file_sha256(path))


def _write_hash(path: Path, digest: str) -> None:
    write_text(hash_beside(path), f'{digest}  {path.name}\n', lasting=True)


def remove(path: Path) -> None:
    """Remove a checkpoint and its hash, which never stays behind alone."""
    hash_beside(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def found_checkpoints(work_dir: Path) -> list[Path]:
    """What a training may continue at: what it named last, then the newest first.

    Nothing where ``last_checkpoint`` is missing: without it a training starts anew.
    """
    if not (work_dir / 'last_checkpoint').is_file():
        return []
    named = pointed_checkpoint(work_dir)
    found = [
        (int(match[1]), path)
        for path in work_dir.glob('*.pth')
        if (match := _NUMBERED.fullmatch(path.name)) and path != named
    ]
    others = [path for _, path in sorted(found, reverse=True)]
    return [named, *others] if named is not None else others


def newest_whole(work_dir: Path, say: Callable[[str], None]) -> Path | None:
    """The newest checkpoint of a work dir that can be continued at.

    Args:
        work_dir: Of a training.
        say: Takes a sentence that names those that were passed over.

    Returns:
        None if the training has not saved any yet.

    Raises:
        ValueError: It has, and none is whole.
    """
    passed: list[str] = []
    for path in found_checkpoints(work_dir):
        if (trouble := trouble_with(path)) is None:
            if passed:
                say(f'passed over, not whole: {some_of(passed)}; continues at {path}')
            return path
        passed.append(f'{path.name} ({trouble})')
    if not (work_dir / 'last_checkpoint').is_file():
        return None
    raise ValueError(
        f'{work_dir}: expected a checkpoint to continue at, found none that is whole: '
        f'{some_of(passed) or "no file at all"}; put one back, or remove '
        'last_checkpoint to train anew'
    )


def trouble_with(path: Path) -> str | None:
    """What keeps a checkpoint from being continued at, None if nothing does."""
    if not path.is_file():
        return 'missing'
    beside = hash_beside(path)
    if beside.is_file():
        if beside.read_text(encoding='utf-8').split()[:1] == [file_sha256(path)]:
            return None
        return f'it has changed: not the file that {beside.name} was written for'
    try:  # without a hash: saved by others, or killed before it was written
        state_dict_of(load_weights(path), path)
    except ValueError as error:
        return str(error).removeprefix(f'{path} ').partition(':')[0]
    return None
