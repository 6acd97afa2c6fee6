"""What a work dir was begun with, and what went into it since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdefect.pruning.candidates import PLAN, WEIGHTS
from mmdefect.utils.checkpoint import file_sha256
from mmdefect.utils.environment import describe_environment, joined
from mmdefect.utils.files import write_json, write_text

STATE, CONFIG_FILE = 'prune.json', 'config.py'
# Entries of a config that plans and weights depend on.
_COMPUTED = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'val_dataloader',
    'mask_dataloader',
    'randomness',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
)
# Entries of `prune` that they do not depend on: more sizes, or another choice of them.
_FREE = ('grid', 'decide')


def claim(work_dir: Path, cfg: Config) -> None:
    """Note what the work dir is for; networks of two configs never mix in it.

    Sizes may be added and the decision changed. While no network is in it, a work dir
    is nobody's: whoever mistyped a path tries again.

    Raises:
        ValueError: It was begun with another config, or another parent.
    """
    digest = identity(cfg)
    state = _read(work_dir)
    if state.get('identity') not in (None, digest) and _networks(work_dir):
        raise ValueError(
            f'{work_dir} was begun with another config or another file in load_from '
            f'(see its {CONFIG_FILE}): expected the same one; give another --work-dir, '
            'or delete this one'
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    path, text = work_dir / CONFIG_FILE, cfg.dump()
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)
    if state.get('identity') != digest:
        write_json(work_dir / STATE, {**state, 'identity': digest})


def identity(cfg: Config) -> str:
    """Digest of what plans and weights depend on."""
    entries: dict[str, Any] = {key: cfg.get(key) for key in _COMPUTED}
    entries['prune'] = _of_networks(cfg)
    parent = cfg.get('load_from')
    entries['load_from'] = file_sha256(parent) if _is_file(parent) else parent
    return digest_of(entries)


def recipe(cfg: Config) -> str:
    """Digest of what makes networks of one variant, whatever the seed and size."""
    return digest_of(_of_networks(cfg))


def _of_networks(cfg: Config) -> dict[str, Any]:
    return {key: value for key, value in cfg.prune.items() if key not in _FREE}


def digest_of(entries: Any) -> str:
    """SHA-256 of anything that JSON can write."""
    text = json.dumps(entries, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def add_work(
    work_dir: Path,
    seconds: float,
    environment: Mapping[str, str],
    command: str | None = None,
) -> None:
    """Note who worked in it and how long, so that a table can say so.

    Args:
        work_dir: The work dir.
        seconds: How long.
        environment: ``commit``, ``hardware`` and ``software`` when the part began.
        command: What makes all of it; ``None`` of a single stage.
    """
    state = _read(work_dir)
    if command is not None:
        state['command'] = command
    state['environment'] = joined(state.get('environment', {}), environment)
    state['seconds'] = round(state.get('seconds', 0.0) + seconds, 1)
    write_json(work_dir / STATE, state)


def worked(work_dir: Path) -> Mapping[str, Any]:
    """``seconds`` and ``environment`` of all parts, ``command`` if one made all."""
    state = _read(work_dir)
    if 'seconds' not in state:  # nothing was done, or a part was killed
        add_work(work_dir, 0.0, describe_environment())
        state = _read(work_dir)
    return state


def _read(work_dir: Path) -> dict[str, Any]:
    path = work_dir / STATE
    return json.loads(path.read_text()) if path.is_file() else {}


def _networks(work_dir: Path) -> bool:
    found = (*work_dir.glob(f'*/{WEIGHTS}'), *work_dir.glob(f'*/{PLAN}'))
    return bool(found)


def _is_file(path: Any) -> bool:
    return isinstance(path, str) and Path(path).is_file()
