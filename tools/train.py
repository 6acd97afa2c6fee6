"""Train a model, or a stream of steps, from a config."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdefect.apis import (
    build_runner,
    finish,
    load_config,
    only_step,
    parse_run,
    recorded,
    use_amp,
)
from mmdefect.utils.files import claim
from mmdefect.utils.interrupts import first_process


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
        '--detect-anomaly',
        action='store_true',
        help='slower: say in which module, or in which part of the backward pass, the '
        'first NaN arises',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue the work dir where it stopped; without a stream also from a '
        'given checkpoint',
    )
    parser.add_argument('--step', type=int, help='run this step of the stream only')
    return parse_run(parser)


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
    if args.detect_anomaly:
        import torch  # not for --help

        torch.autograd.set_detect_anomaly(True)
    if args.auto_scale_lr:
        if 'enable' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr: expected auto_scale_lr=dict(enable=False, '
                f'base_batch_size=...) in {args.config}; add it, or leave the flag out'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
        if args.resume != 'auto' and not Path(args.resume).is_file():
            raise FileNotFoundError(
                f'--resume {args.resume}: expected a checkpoint file; give one, or a '
                'bare --resume to continue the work dir'
            )
    step = only_step(args.step, cfg)
    if first_process():
        claim(Path(cfg.work_dir))
    build_runner(cfg).train(*step)
    finish()


if __name__ == '__main__':
    main()
