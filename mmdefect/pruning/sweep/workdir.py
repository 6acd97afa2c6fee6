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
from mmdefect.utils.files import file_sha256, new_folder, write_text
from mmdefect.utils.pretrained import weight_files
from mmdefect.utils.work_dir import add_environment, begin, read_state

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
    is unclaimed: whoever mistyped a path tries again.

    Raises:
        ValueError: It was begun with another config, other pretrained weights or
            another number of processes, or holds networks of unknown origin.
    """
    begin(
        work_dir / STATE,
        'identity',
        identity(cfg, processes),
        occupied=bool([*work_dir.glob(f'*/{WEIGHTS}'), *work_dir.glob(f'*/{PLAN}')]),
        expected='the config, files of weights and number of processes that it was '
        f'begun with (see its {CONFIG_FILE})',
        dense=identity(cfg, processes, of=_OF_DENSE),
    )
    path, text = work_dir / CONFIG_FILE, cfg.dump()
    if not path.is_file() or path.read_text(encoding='utf-8') != text:
        write_text(path, text)


def take_dense(work_dir: Path, other: Path) -> None:
    """Take the whole network of another run: no score has a say in it.

    Its measurements stay behind, as latencies compare within one run only.

    Raises:
        FileNotFoundError: The other run has no whole network, or not yet.
        ValueError: It has another parent, seed, head or training.
    """
    source, target = other / DENSE, work_dir / DENSE
    if not (source / CLASSIFIER).is_file():
        raise FileNotFoundError(
            f'{source / CLASSIFIER}: expected a work dir of tools/prune.py whose whole '
            'network is trained'
        )
    mine, theirs = (
        read_state(folder / STATE).get('dense') for folder in (work_dir, other)
    )
    if theirs is None or mine != theirs:
        raise ValueError(
            f'{other}: expected a whole network of the parent, seed, head and training '
            f'of {work_dir} (see {CONFIG_FILE} of both)'
        )
    if target.exists():
        return
    measured = shutil.ignore_patterns(RESULT)
    with new_folder(target) as part:
        shutil.copytree(source, part, ignore=measured, dirs_exist_ok=True)


def identity(cfg: Config, processes: int = 1, *, of: Sequence[str] = ()) -> str:
    """Digest what plans and weights depend on, ``of`` some entries of ``prune``."""
    entries = _of_networks(cfg)
    if of:
        entries['prune'] = {key: cfg.prune.get(key) for key in of}
        del entries['mask_dataloader']
    files = [cfg.get('load_from'), *weight_files(cfg.model)]
    entries['weights'] = [
        file_sha256(file) if isinstance(file, str) and Path(file).is_file() else file
        for file in files
    ]
    entries['seed'] = cfg.get('randomness')
    if (cfg.prune.get('recovery') or {}).get('finetune'):
        entries['processes'] = processes
    return digest_of(entries)


def recipe(cfg: Config) -> str:
    """Digest what makes networks of one variant, whatever the seed and size."""
    return digest_of(_of_networks(cfg))


def _of_networks(cfg: Config) -> dict[str, Any]:
    entries = {key: cfg.get(key) for key in _COMPUTED}
    hooks = cfg.get('default_hooks') or {}
    entries['hooks'] = {k: v for k, v in hooks.items() if k not in _WATCHING}
    entries['prune'] = {k: v for k, v in cfg.prune.items() if k not in _FREE}
    return entries


def digest_of(entries: Any) -> str:
    """Return the SHA-256 of anything that JSON can write."""
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
    before = read_state(work_dir / STATE).get('seconds', 0.0)
    made = {} if command is None else {'command': command}
    add_environment(
        work_dir / STATE, environment, seconds=round(before + seconds, 1), **made
    )


def worked(work_dir: Path) -> Mapping[str, Any]:
    """Return ``seconds`` and ``environment`` of all parts, ``command`` of a whole."""
    state = read_state(work_dir / STATE)
    if 'seconds' not in state:  # nothing was done, or a part was killed
        return add_environment(work_dir / STATE, seconds=0.0)
    return state
