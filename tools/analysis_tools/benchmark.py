"""Measure speed and size of a method beside what it is built on, in interleaved pairs.

Everything runs on the CPU, with random images and weights: no data, no downloads.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.logging import MMLogger

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from mmdefect.benchmarks.detection import DetectionSuite
from mmdefect.utils.benchmark_table import BENCHMARK, benchmark_lines, missed
from mmdefect.utils.results import clean_commit, write_results
from mmdefect.utils.timing import Progress

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SUITES = {'detection': DetectionSuite}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--suite', choices=SUITES, default='detection')
    parser.add_argument('--pairs', type=int, default=50, help='pairs of runs')
    parser.add_argument(
        '--train-pairs', type=int, default=30, help='pairs of training iterations'
    )
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--image-size', type=int, default=320)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--depth', type=int, default=50, help='layers of the ResNet')
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help='only these ratios, ours/other'
    )
    parser.add_argument('--out', type=Path, help='results file to write')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    # How every weight is initialised, once a model, would bury the progress.
    MMLogger.get_current_instance().setLevel('WARNING')
    warnings.filterwarnings('ignore', module='mmdet')
    suite = SUITES[args.suite](
        configs=CONFIGS,
        pairs=args.pairs,
        train_pairs=args.train_pairs,
        image_size=args.image_size,
        batch_size=args.batch_size,
        depth=args.depth,
    )
    names = chosen(suite, args.only)
    if args.out:  # rather now than after many minutes
        clean_commit(args.out.parent, ignore=args.out)
    begin = time.monotonic()
    metrics = measure(suite, names)
    report(metrics)
    if args.out:
        write_results(
            args.out,
            name=f'{BENCHMARK}{args.suite}',
            command=f'python {shlex.join(sys.argv)}',
            dataset=suite.dataset,
            seeds=[0],
            metrics=metrics,
            duration_s=time.monotonic() - begin,
            notes=suite.notes,
        )
    return 0


def chosen(suite: DetectionSuite, only: list[str] | None) -> list[str]:
    if unknown := set(only or ()) - set(suite.comparisons):
        raise SystemExit(
            f'--only {" ".join(sorted(unknown))}: not measured here, one of '
            f'{", ".join(suite.comparisons)} was expected'
        )
    return only or list(suite.comparisons)


def measure(suite: DetectionSuite, names: list[str]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in names:
        metrics.update(suite.comparisons[name](shown(name)))
        print(f'\r{name}: {metrics[name]:.3f}' + 20 * ' ', file=sys.stderr, flush=True)
    return metrics


def shown(name: str) -> Progress:
    print(f'{name} ...', end='', file=sys.stderr, flush=True)

    def show(done: int, pairs: int) -> None:
        print(f'\r{name}: pair {done}/{pairs}', end='', file=sys.stderr, flush=True)

    return show


def report(metrics: Mapping[str, float]) -> None:
    print('\n'.join(benchmark_lines(metrics)))
    for name in missed(metrics):
        print(f'TARGET MISSED: {name}')


if __name__ == '__main__':
    sys.exit(main())
