"""Where a stream or a step starts: another stream, a checkpoint, its own last epoch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmdefect.streams.resume import compare
from mmdefect.streams.state import STATE_FILE, StreamState, config_hash, inside
from mmdefect.streams.stream import Stream
from mmdefect.utils.checkpoint import (
    checkpoint_classes,
    load_weights,
    pointed_checkpoint,
    student_of,
)
from mmdefect.utils.files import file_sha256


def take_over(stream: Stream, state: StreamState, cfg: Config, work_dir: Path) -> None:
    """Fill step 0 of ``state`` from ``stream.start_from``, if there is one.

    Args:
        stream: The stream that starts.
        state: Its state; step 0 becomes ``trained``.
        cfg: The resolved config of its step 0.
        work_dir: Its work dir; the checkpoint is copied into it.

    Raises:
        FileNotFoundError: ``start_from`` does not exist.
        ValueError: It is a stream whose step 0 is unfinished or was made with another
            config, or a checkpoint of other classes.
    """
    if stream.start_from is None:
        return
    source = Path(stream.start_from)
    step_dir = work_dir / 'step_0'
    if source.is_dir():
        checkpoint = _finished_step_0(source, cfg)
    elif source.is_file():
        checkpoint = source
        classes = stream.new_classes(0)
        check_classes(load_weights(source), classes, source, 0, named=True)
    else:
        raise FileNotFoundError(
            f'stream.start_from={str(source)!r}: expected the work dir of a stream or '
            'a checkpoint file'
        )
    step_dir.mkdir(parents=True, exist_ok=True)
    copy = step_dir / checkpoint.name
    shutil.copyfile(checkpoint, copy)
    first = state.steps[0]
    first.state = 'trained'
    first.reused_from = str(source)
    first.checkpoint = f'step_0/{copy.name}'
    first.checkpoint_sha256 = file_sha256(copy)
    first.config_hash = config_hash(cfg)


def _finished_step_0(source: Path, cfg: Config) -> Path:
    """Return the checkpoint of another stream's step 0 that was trained alike.

    How it was scored does not matter: it is scored again.
    """
    first = StreamState.load(source).steps[0]
    if first.checkpoint is None or first.config is None:
        raise ValueError(
            f'stream.start_from={str(source)!r}: expected a finished step 0; run it '
            'first'
        )
    if difference := compare(source, first, cfg)[0]:
        raise ValueError(
            f'stream.start_from={str(source)!r}: expected a step 0 of the same config; '
            f'it differs, first at {difference}; make them equal or drop '
            'stream.start_from'
        )
    path = inside(source, first.checkpoint)
    verify(path, str(first.checkpoint_sha256))
    return path


def begun(work_dir: Path, *, resume: bool) -> bool:
    """Whether a work dir holds a stream to go on with.

    Without ``resume`` a stream that has trained nothing is not in the way: its first
    start ended before a checkpoint, and the settings that are corrected may be any.

    Raises:
        FileExistsError: It holds some training, and ``resume`` is off.
    """
    if not (work_dir / STATE_FILE).exists():
        return False
    if resume:
        return True
    for step in StreamState.load(work_dir).steps:
        trained = step.state not in ('pending', 'running')
        if step.reused_from and step.state == 'trained':  # by others, as it was taken
            trained = False
        if trained or pointed_checkpoint(work_dir / f'step_{step.step}') is not None:
            raise FileExistsError(
                f'{work_dir} already holds a stream ({STATE_FILE}): expected none; add '
                '--resume to continue it, or choose another --work-dir'
            )
    return False


def continued(stream: Stream, work_dir: Path) -> StreamState:
    """Read the state of a stream that is to go on.

    Raises:
        ValueError: It was started with other steps or from elsewhere.
    """
    state = StreamState.load(work_dir)
    expected = [stream.new_classes(k) for k in range(len(stream))]
    if [s.classes for s in state.steps] != expected:
        raise ValueError(
            f'{work_dir}: expected the steps {[s.classes for s in state.steps]} that '
            f'it was started with, not {expected}; use the same protocol or another '
            '--work-dir'
        )
    if state.start_from != stream.start_from:
        raise ValueError(
            f'{work_dir}: expected stream.start_from={state.start_from!r} that it was '
            f'started with, not {stream.start_from!r}; use the same or another '
            '--work-dir'
        )
    return state


def not_finished(step: int, work_dir: Path) -> ValueError:
    """Say that a step has nothing to start from."""
    return ValueError(
        f'{work_dir}: expected a finished step {step - 1} before step {step}; run it '
        f'first (--step {step - 1}), then this one with --resume'
    )


def last_checkpoint(step_dir: Path) -> Path | None:
    """Return the newest checkpoint of a step, wherever its work dir has moved."""
    path = pointed_checkpoint(step_dir)
    if path is not None and not path.is_file():
        raise FileNotFoundError(
            f'{path}: expected the checkpoint that last_checkpoint names; put it back, '
            'or remove last_checkpoint to train the step anew'
        )
    return path


def verify(path: Path, sha256: str) -> None:
    """Check that a finished step's checkpoint is the one that was recorded.

    Raises:
        FileNotFoundError: It is gone.
        ValueError: It has changed.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: expected the checkpoint of a finished step; put it back or train '
            'the stream anew in another --work-dir'
        )
    if file_sha256(path) != sha256:
        raise ValueError(
            f'{path}: expected the checkpoint of SHA-256 {sha256[:12]}..., it has '
            'changed since its step finished; put it back or train the stream anew in '
            'another --work-dir'
        )


def step_of(path: Path, steps: int) -> int:
    """Return the step that a checkpoint's meta names.

    Raises:
        ValueError: It names none, or one that the stream does not have.
    """
    meta: dict[str, Any] = load_weights(path).get('meta') or {}
    stream = meta.get('stream')
    step = stream.get('step') if isinstance(stream, dict) else None
    if type(step) is not int:
        raise ValueError(
            f'{path}: expected a checkpoint that names its step; say it with --step'
        )
    if not 0 <= step < steps:
        raise ValueError(
            f'{path}: expected a checkpoint of a step from 0 to {steps - 1}, it is of '
            f'step {step}; use the config that it was trained with'
        )
    return step


def check_classes(
    loaded: dict[str, Any],
    expected: list[str],
    path: Path,
    step: int,
    *,
    named: bool = False,
) -> None:
    """Refuse a checkpoint whose rows stand for other classes, or in another order.

    Args:
        loaded: The checkpoint.
        expected: Classes of the step.
        path: Where it is.
        step: Number of the step.
        named: Whether it must say its classes.

    Raises:
        ValueError: Naming both class lists.
    """
    found = checkpoint_classes(loaded, path)
    if found is None and not named:
        return
    if found is None or list(found) != expected:
        raise ValueError(
            f'{path}: expected the classes {expected} of step {step}, it knows '
            f'{found and list(found)}; use the protocol that it was trained with, or '
            'name or reorder them with tools/model_converters/expand_classes.py'
        )


def check_keys(
    found: dict[str, torch.Tensor],
    expected: dict[str, torch.Tensor],
    path: Path,
    step: int,
) -> None:
    """Refuse a checkpoint whose names or shapes are not those of the step's model.

    Raises:
        ValueError: Naming the first keys that do not fit.
    """
    wrong = [
        key
        for key in sorted(found.keys() | expected.keys())
        if key not in found
        or key not in expected
        or found[key].shape != expected[key].shape
    ]
    cure = 'use the checkpoint of that step'
    if found.keys() != student_of(found).keys():
        cure = (
            'it holds a teacher beside the student: take the student out with '
            f'tools/model_converters/publish_model.py {path} student.pth, and use what '
            'that writes'
        )
    if wrong:
        raise ValueError(
            f'{path}: expected the weights of step {step}; {len(wrong)} keys are '
            f'missing, unexpected or of another shape, such as {", ".join(wrong[:3])}; '
            f'{cure}'
        )
