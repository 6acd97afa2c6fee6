"""``stream.json``: what ran, from which config, into which checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mmengine.config import Config

from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

STATE_FILE = 'stream.json'

# Keys that say where and how visibly a run happens, not what it computes.
_PLACE_KEYS = {
    'work_dir', 'launcher', 'resume', 'load_from', 'experiment_name', 'visualizer',
    'vis_backends', 'log_level', 'log_processor', 'env_cfg', 'model_wrapper_cfg',
    'custom_imports',
}  # fmt: skip
# Type -> keys that say where something lies: a moved work dir changes no weights.
_PLACED = {
    'mmdefect.MemoryDataset': ('folder', 'pseudo_labels'),
    'mmdefect.RehearseCrops': ('folder',),
}
# Types that configs name otherwise today: they compute the same, old work dirs resume.
_RENAMED = {
    'mmdefect.LoadCachedImage': 'LoadImageFromFile',
    'mmdefect.DetectionMobileNetV2': 'MobileNetV2',
}


@dataclass
class StepState:
    """What is known of one step; paths are relative to the stream's work dir."""

    step: int
    classes: list[str]
    state: str = 'pending'  # pending -> running -> trained -> finished
    reused_from: str | None = None
    config: str | None = None
    config_hash: str | None = None
    checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    started_from: str | None = None
    scoring_hash: str | None = None  # of the test settings that its scores come from
    duration_s: float = 0.0
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class StreamState:
    """All steps of a stream, as ``stream.json`` holds them."""

    name: str
    classes: list[str]
    steps: list[StepState] = field(default_factory=list)
    start_from: str | None = None

    @classmethod
    def load(cls, work_dir: Path) -> StreamState:
        """Read ``stream.json``.

        Raises:
            FileNotFoundError: ``work_dir`` holds no ``stream.json``.
            ValueError: It is none, or names a file outside the work dir.
        """
        path = Path(work_dir) / STATE_FILE
        if not path.is_file():
            raise FileNotFoundError(
                f'{work_dir} holds no {STATE_FILE}: expected the work dir of a stream '
                'that tools/train.py has started'
            )
        try:
            data = read_json(path, 'state of a stream')
            steps = [StepState(**step) for step in data.pop('steps')]
            for step in steps:
                for file in (step.config, step.checkpoint, step.started_from):
                    if file is not None:
                        inside(Path(work_dir), file)
            return cls(**data, steps=steps)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path}: expected the state of a stream, found {error}; put the file '
                'back that tools/train.py wrote'
            ) from None

    def save(self, work_dir: Path) -> None:
        """Write ``stream.json`` in one piece: a kill leaves the old or the new."""
        write_json(Path(work_dir) / STATE_FILE, asdict(self), lasting=True)


def inside(work_dir: Path, file: str, named_by: str = STATE_FILE) -> Path:
    """Return the path of a file that ``stream.json``, or another file, names.

    Raises:
        ValueError: It lies outside the work dir, which may have come from anywhere.
    """
    named = PurePosixPath(file)
    if named.is_absolute() or '..' in named.parts:
        raise ValueError(
            f'{work_dir / named_by} names {file!r}, which is outside of its work '
            'dir: expected a path below it, such as step_0/epoch_1.pth'
        )
    return work_dir / named


def canonical(cfg: Config) -> dict[str, Any]:
    """Return the part of a resolved config that decides what a run computes."""
    plain = {k: v for k, v in cfg.to_dict().items() if k not in _PLACE_KEYS}
    hooks = [_without_path(hook) for hook in plain.get('custom_hooks') or []]
    plain['custom_hooks'] = hooks
    if teacher := (plain.get('model') or {}).get('teacher'):
        plain['model'] = {**plain['model'], 'teacher': _without_path(teacher)}
    defaults = dict(plain.get('default_hooks') or {})
    defaults.pop('logger', None)
    plain['default_hooks'] = {
        name: hook and _without_path(hook) for name, hook in defaults.items()
    }
    # A round trip through JSON turns tuples into lists, as a dumped config may.
    text = json.dumps(plain, default=str, sort_keys=True)
    return json.loads(text, object_hook=_compared)


def _compared(entry: dict[str, Any]) -> dict[str, Any]:
    kind = entry.get('type')
    if isinstance(kind, str) and kind in _RENAMED:
        entry['type'] = _RENAMED[kind]
    placed = _PLACED.get(kind, ()) if isinstance(kind, str) else ()
    return {key: value for key, value in entry.items() if key not in placed}


def _without_path(origin: dict[str, Any]) -> dict[str, Any]:
    """A moved work dir changes where a step starts from, not what it starts from."""
    return {k: v for k, v in origin.items() if k != 'checkpoint'}


def config_hash(cfg: Config) -> str:
    """Return the SHA-256 of the canonical config."""
    return digest(canonical(cfg))


def digest(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain settings, whatever their order."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(ours: Any, theirs: Any, key: str = '') -> Iterator[str]:
    """Name each entry that differs: ``key (was theirs, is ours)``."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            path = f'{key}.{name}' if key else str(name)
            if name in ours and name in theirs:
                yield from differences(ours[name], theirs[name], path)
            else:
                yield f'{path} ({"added" if name in ours else "gone"})'
    elif (
        isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs)
    ):
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(a, b, f'{key}.{index}')
    elif ours != theirs:
        yield f'{key} (was {_short(theirs)}, is {_short(ours)})'


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f'{text[:117]}...'


def first_difference(ours: Any, theirs: Any) -> str | None:
    """Return the first of :func:`differences`, or ``None``."""
    return next(differences(ours, theirs), None)
