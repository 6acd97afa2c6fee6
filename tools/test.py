"""Test a checkpoint, or every step of a stream's work dir."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mmdefect.apis import (
    build_runner,
    dump_predictions,
    finish,
    load_config,
    only_step,
    parse_run,
    pictures_in,
    recorded,
    show_predictions,
    use_tta,
)
from mmdefect.utils.interrupts import first_process


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help="checkpoint file, or a stream's work dir")
    parser.add_argument(
        '--work-dir',
        help='folder for the evaluation of a checkpoint; a work dir stays in place',
    )
    parser.add_argument('--step', type=int, help='test as this step of the stream')
    parser.add_argument('--out', help='write the predictions to this .pkl file')
    parser.add_argument('--show', action='store_true', help='show the predictions')
    parser.add_argument(
        '--show-dir',
        help='draw predictions into this folder (a stream: its step_0, step_1 ...)',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds between shown images'
    )
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    return parse_run(parser)


@recorded('start it again')
def main() -> None:
    args = parse_args()
    cfg = load_config(
        args.config,
        cfg_options=args.cfg_options,
        work_dir=args.work_dir,
        launcher=args.launcher,
    )
    if not Path(args.checkpoint).exists():
        raise FileNotFoundError(
            f'{args.checkpoint} does not exist: expected a checkpoint file or the work '
            'dir of a stream; check the path'
        )
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        show_predictions(
            cfg, show=args.show, out_dir=args.show_dir, wait_time=args.wait_time
        )
    if args.out:
        dump_predictions(cfg, args.out)
    if args.tta:
        use_tta(cfg)
    step = only_step(args.step, cfg)
    begin = time.time()
    build_runner(cfg).test(*step)
    if args.show_dir and first_process():
        print(pictures_in(args.show_dir, since=begin))
    finish()


if __name__ == '__main__':
    main()
