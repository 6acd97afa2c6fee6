"""What a work dir was begun with, and what went into it since."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdefect.pruning.sweep.candidates import CLASSIFIER, DENSE, PLAN, RESULT, WEIGHTS
from mmdefect.utils.checkpoint import file_sha256
from mmdefect.utils.environment import describe_environment, joined
from mmdefect.utils.files import new_folder, write_json, write_text
from mmdefect.utils.pretrained import weight_files

STATE, CONFIG_FILE = 'prune.json', 'config.py'
# Entries of a config that plans and weights depend on.
_COMPUTED = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'val_dataloader',
    'mask_dataloader',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'auto_scale_lr',
    'custom_hooks',
)
# Hooks that watch: the others average weights, freeze layers, choose an epoch.
_WATCHING = ('timer', 'logger', 'visualization')
# Entries of `prune` that they do not depend on: more sizes, or another choice of them.
_FREE = ('grid', 'decide')
# Those that the whole network depends on.
_OF_DENSE = ('probe', 'recovery', 'untrained')


def claim(work_dir: Path, cfg: Config, *, processes: int = 1) -> None:
    """Note what the work dir is for; networks of two configs never mix in it.

    Sizes may be added and the decision changed. While no network is in it, a work dir
    is nobody's: whoever mistyped a path tries again.

    Args:
        work_dir: The work dir.
        cfg: The config.
        processes: Of the training, each with batches of its own.

    Raises:
        ValueError: It was begun with another config, other pretrained weights or
            another number of processes, or holds networks of nobody knows which.
    """
    digest = identity(cfg, processes)
    state = _read(work_dir)
    if state.get('identity') != digest and _networks(work_dir):
        raise ValueError(
            f'{work_dir} was begun with another config, other files of weights or '
            f'another number of processes (see its {CONFIG_FILE}): expected the same '
            'ones; give another --work-dir, or delete this one'
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    path, text = work_dir / CONFIG_FILE, cfg.dump()
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        write_text(path, text)
    if state.get('identity') != digest:
        dense = identity(cfg, processes, of=_OF_DENSE)
        write_json(work_dir / STATE, {**state, 'identity': digest, 'dense': dense})


def take_dense(work_dir: Path, other: Path) -> None:
    """Take the whole network of another run: no score has a say in it.

    Its measurements stay behind, as latencies compare within one run only.

    Args:
        work_dir: A run's work dir, claimed.
        other: The work dir of a run with another score, or other sizes.

    Raises:
        FileNotFoundError: The other run has no whole network, or not yet.
        ValueError: It has another parent, seed, head or training.
    """
    source, target = other / DENSE, work_dir / DENSE
    if not (source / CLASSIFIER).is_file():
        raise FileNotFoundError(
            f'{source / CLASSIFIER} does not exist: expected a work dir of '
            'tools/prune.py whose whole network is trained'
        )
    mine, theirs = (_read(folder).get('dense') for folder in (work_dir, other))
    if theirs is None or mine != theirs:
        raise ValueError(
            f'the whole network of {other} has another parent, seed, head or training '
            f'(see its {CONFIG_FILE}): expected the same ones as of {work_dir}'
        )
    if target.exists():
        return
    measured = shutil.ignore_patterns(RESULT)
    with new_folder(target) as part:
        shutil.copytree(source, part, ignore=measured, dirs_exist_ok=True)


def identity(cfg: Config, processes: int = 1, *, of: Sequence[str] = ()) -> str:
    """Digest of what plans and weights depend on.

    Args:
        cfg: The config.
        processes: Of the training.
        of: Entries of ``prune`` that count; by default all but sizes and the choice.
    """
    entries = _of_networks(cfg)
    if of:
        entries['prune'] = {key: cfg.prune.get(key) for key in of}
        del entries['mask_dataloader']
    files = [cfg.get('load_from'), *weight_files(cfg.model)]
    entries['weights'] = [file_sha256(f) if _is_file(f) else f for f in files]
    entries['seed'] = cfg.get('randomness')
    if (cfg.prune.get('recovery') or {}).get('finetune'):
        entries['processes'] = processes
    return digest_of(entries)


def recipe(cfg: Config) -> str:
    """Digest of what makes networks of one variant, whatever the seed and size."""
    return digest_of(_of_networks(cfg))


def _of_networks(cfg: Config) -> dict[str, Any]:
    entries = {key: cfg.get(key) for key in _COMPUTED}
    hooks = cfg.get('default_hooks') or {}
    entries['hooks'] = {k: v for k, v in hooks.items() if k not in _WATCHING}
    entries['prune'] = {k: v for k, v in cfg.prune.items() if k not in _FREE}
    return entries


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
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}


def _networks(work_dir: Path) -> bool:
    found = (*work_dir.glob(f'*/{WEIGHTS}'), *work_dir.glob(f'*/{PLAN}'))
    return bool(found)


def _is_file(path: Any) -> bool:
    return isinstance(path, str) and Path(path).is_file()
