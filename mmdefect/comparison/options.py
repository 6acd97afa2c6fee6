"""What a comparison sets in every config, and checks before anything trains."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from mmdefect.apis import load_config
from mmdefect.engine.freezing import trainable_fraction
from mmdefect.utils.checks import check_range
from mmdefect.utils.pretrained import check_weights_file, weight_files

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def freeze_options(freeze: str, cfg: Config | None = None) -> list[str]:
    """Make config options of ``none``, ``head``, ``fraction=0.33`` or ``quadrant=Q3``.

    Raises:
        ValueError: It is none of them.
    """
    mode, _, value = freeze.partition('=')
    known = ('none', 'head') if not value else ('fraction', 'quadrant')
    if mode not in known:
        raise ValueError(
            f'freeze={freeze!r}: expected none, head, fraction=SHARE or quadrant=Q1..Q4'
        )
    hook = 'default_hooks.freeze'
    own = ((cfg and cfg.get('default_hooks')) or {}).get('freeze') or {}
    others = [
        f'{hook}.{name}=None'
        for name in ('fraction', 'quadrant')
        if name != mode and own.get(name) is not None
    ]
    given = [f'{hook}.{mode}={value}'] if value else []
    return [f'{hook}.mode={mode}', *given, *others]


def freezing_of(cfg: Config) -> tuple[str, float]:
    """Tell how a config freezes, such as ``fraction-0.33``, and what share trains.

    Raises:
        ValueError: Layers cannot be frozen so.
    """
    hook = dict((cfg.get('default_hooks') or {}).get('freeze') or {'mode': 'none'})
    mode = hook['mode']
    share = trainable_fraction(
        mode, fraction=hook.get('fraction'), quadrant=hook.get('quadrant')
    )
    value = hook.get(mode) if mode in ('fraction', 'quadrant') else None
    return mode if value is None else f'{mode}-{value}', share


def protocol_options(protocol: str) -> list[str]:
    """Set the split of all three data loaders."""
    return [f'{loader}.dataset.protocol={protocol}' for loader in LOADERS]


def parsed(options: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` as the tools' ``--cfg-options`` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction, default={})
    return dict(parser.parse_args(['--options', *options] if options else []).options)


def epochs_options(cfg: Config, epochs: int) -> list[str]:
    """Train for ``epochs``, and let every schedule that ended with the training do so.

    ``train_cfg.max_epochs`` alone would leave a cosine on its way down.

    Raises:
        ValueError: Fewer than one; or a schedule that takes the whole training begins
            behind them.
    """
    check_range('epochs', epochs, 1)
    options = [f'train_cfg.max_epochs={epochs}']
    for index, schedule in _by_epoch(cfg):
        if schedule.get('end') != cfg.train_cfg.max_epochs:
            continue
        if schedule.get('begin', 0) >= epochs:
            raise ValueError(
                f'epochs={epochs}: expected more, as param_scheduler.{index} of '
                f'{cfg.filename} begins after {schedule["begin"]}; or give its begin, '
                'and the end of what comes before, in --cfg-options'
            )
        options.append(f'param_scheduler.{index}.end={epochs}')
    return options


def check_run(config: str | Path, options: Sequence[str]) -> list[str]:
    """Refuse now what would fail hours later; return warnings of schedules.

    Raises:
        FileNotFoundError: There is no such config, or no file of pretrained weights.
        ValueError: Layers cannot be frozen so.
    """
    cfg = load_config(config, cfg_options=parsed(options))
    freezing_of(cfg)
    for path in weight_files(cfg.model):
        check_weights_file(path)
    last = cfg.train_cfg.max_epochs
    return [
        f'{config}: param_scheduler.{index} ends after {schedule["end"]} epochs and '
        f'train_cfg.max_epochs is {last}; --epochs {last} sets both'
        for index, schedule in _by_epoch(cfg)
        if last < schedule.get('end', 0) < math.inf
    ]


def _by_epoch(cfg: Config) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, schedule in enumerate(cfg.get('param_scheduler') or []):
        if schedule.get('by_epoch', True):
            yield index, schedule
