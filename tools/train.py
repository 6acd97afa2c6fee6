"""Train a model, or a stream of steps, from a config."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
from mmengine.config import DictAction

from mmdefect.apis import build_runner, finish, load_config, recorded, use_amp


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision (bfloat16 without a GPU)'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size; needs auto_scale_lr in the '
        'config',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue the work dir where it stopped; without a stream also from a '
        'given checkpoint',
    )
    parser.add_argument('--step', type=int, help='run this step of the stream only')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries, key=value; lists as key="[a,b]"',
    )
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


@recorded('continue with --resume')
def main() -> None:
    args = parse_args()
    cfg = load_config(
        args.config,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
        launcher=args.launcher,
    )
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        if 'enable' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr=dict(enable=False, '
                f'base_batch_size=...) in {args.config}, which has none'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
        if args.resume != 'auto' and not Path(args.resume).is_file():
            raise FileNotFoundError(
                f'--resume {args.resume!r} is no file: give a checkpoint, or a bare '
                '--resume to continue the work dir'
            )
    build_runner(cfg).train(*_step(args.step, cfg))
    finish()


def _step(step: int | None, cfg) -> tuple[int, ...]:
    if step is not None and 'stream' not in cfg:
        raise ValueError(f'--step {step} needs a config with a stream')
    return () if step is None else (step,)


if __name__ == '__main__':
    main()
