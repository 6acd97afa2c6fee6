"""Where a package comes from: config, checkpoint, commit, data, time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmdefect.deploy.spec import ModelSpec
from mmdefect.streams.state import config_hash
from mmdefect.utils.config import every_innermost
from mmdefect.utils.environment import git_commit
from mmdefect.utils.files import file_sha256
from mmdefect.version import __version__


def provenance(cfg: Any, spec: ModelSpec) -> dict[str, Any]:
    """What ``about`` of a package says, plain data.

    Args:
        cfg: Config of the model.
        spec: Of the model; what it knows already stays.
    """
    about = {key: _plain(value) for key, value in spec.about.items()}
    for key in ('config', 'checkpoint'):
        if about.get(key):
            about[key] = _near(Path(about[key]))
    return {
        **about,
        'model': str(cfg.model.get('type')),
        'config_sha256': config_hash(cfg),
        'commit': git_commit(),
        'mmdefect': __version__,
        'exported': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'data': {'classes': list(spec.classes), **_annotations(cfg)},
    }


def _near(path: Path) -> str:
    """A path below this folder, or the last two parts: not whose machine it was on."""
    with suppress(ValueError):
        return path.resolve().relative_to(Path.cwd()).as_posix()
    return '/'.join(path.parts[-2:])


def _annotations(cfg: Any) -> dict[str, str]:
    """SHA-256 of the annotation files that are on this machine."""
    found = {}
    for split in ('train', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is None:
            continue
        dataset = next(every_innermost(loader.dataset))
        named = dataset.get('ann_file') or dataset.get('meta_file')
        path = Path(dataset.get('data_root') or '') / str(named or '')
        if named and path.is_file():
            found[f'{split}_annotations_sha256'] = file_sha256(path)
    return found


def _plain(value: Any) -> Any:
    """What JSON can hold: a checkpoint's note may have numbers of NumPy."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.item() if hasattr(value, 'item') else str(value)
