"""Measure speed and size of a method beside what it is built on, in interleaved pairs.

Suites: detection (SD-IDD beside GFL), anomaly (IUF and its metrics), pruning (a
sweep of Finicky Transfer Learning beside a naive one), inference (every task in torch,
ONNX Runtime and OpenVINO), memory (adding a product, searching) and line (writing
decisions down, questions to a million of them).

Everything runs on the CPU, with random weights and random or drawn images: no data, no
downloads, but for the packages of an edge box in inference.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mmdefect  # noqa: F401  first: it says what is not installed

# isort: split
import cv2
import torch
from mmengine.logging import MMLogger

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.benchmarks.anomaly import AnomalySuite
from lab.benchmarks.detection import DetectionSuite
from lab.benchmarks.inference import InferenceSuite
from lab.benchmarks.line import LineSuite
from lab.benchmarks.memory import MemorySuite
from lab.benchmarks.pruning import PruningSuite
from lab.results import clean_commit, environment_of, write_results
from lab.tables.benchmark_table import BENCHMARK, benchmark_lines, missed
from mmdefect.utils.environment import describe_environment
from mmdefect.utils.timing import Progress

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
SUITES = {
    'detection': DetectionSuite,
    'anomaly': AnomalySuite,
    'pruning': PruningSuite,
    'inference': InferenceSuite,
    'memory': MemorySuite,
    'line': LineSuite,
}
Suite = (
    DetectionSuite
    | AnomalySuite
    | PruningSuite
    | InferenceSuite
    | MemorySuite
    | LineSuite
)
# Which of the options a suite has; each has its own defaults.
SIZES = ('pairs', 'train_pairs', 'image_size', 'batch_size')
OPTIONS = {
    'detection': (*SIZES, 'depth'),
    'anomaly': (*SIZES, 'maps'),
    'pruning': ('pairs', 'image_size', 'batch_size', 'images'),
    'inference': ('pairs', 'images'),
    'memory': ('pairs', 'image_size', 'images'),
    'line': ('pairs', 'images', 'rows'),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--suite', choices=SUITES, default='detection')
    sizes = parser.add_argument_group('sizes', 'each suite has its own defaults')
    sizes.add_argument('--pairs', type=int, help='pairs of runs')
    sizes.add_argument('--train-pairs', type=int, help='pairs of training iterations')
    sizes.add_argument('--image-size', type=int, help='side of the images in pixels')
    sizes.add_argument('--batch-size', type=int, help='images of a training batch')
    sizes.add_argument('--depth', type=int, help='detection: layers of the ResNet')
    sizes.add_argument('--maps', type=int, help='anomaly: maps for the metrics')
    sizes.add_argument(
        '--images', type=int, help='pruning, inference, memory, line: images to see'
    )
    sizes.add_argument('--rows', type=int, help='line: rows of the log')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--only', nargs='+', metavar='NAME', help='only these measurements'
    )
    parser.add_argument('--out', type=Path, help='results file to write')
    parser.add_argument(
        '--add', action='store_true', help='keep the other numbers of that file'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    # How every weight is initialised, once a model, would bury the progress.
    MMLogger.get_current_instance().setLevel('WARNING')
    warnings.filterwarnings('ignore', module='mmdet')
    if args.add and args.out is None:
        raise SystemExit('--add: expected --out as well; say which file')
    suite = build_suite(args)
    names = chosen(suite, args.only)
    if args.out:  # rather now than after many minutes
        clean_commit(args.out.parent, ignore=args.out)
    begin = time.monotonic()
    metrics = measure(suite, names)
    report(metrics)
    if args.out:
        write(args, suite, metrics, time.monotonic() - begin, argv or sys.argv[1:])
    return 0


def write(
    args: argparse.Namespace,
    suite: Suite,
    metrics: dict[str, float],
    seconds: float,
    words: list[str],
) -> None:
    """Write the results file, with the other numbers of the old one on demand."""
    command = f'python {shlex.join([sys.argv[0], *words])}'
    commit = clean_commit(args.out.parent, ignore=args.out)
    environment = {**describe_environment(), 'commit': commit}
    if args.add and args.out.is_file():
        old = json.loads(args.out.read_text(encoding='utf-8'))
        metrics = {**old['metrics'], **metrics}
        seconds += old['duration_s']
        command = f'{old["command"]}; {command}'
        environment = environment_of([old, environment])
    write_results(
        args.out,
        name=f'{BENCHMARK}{args.suite}',
        command=command,
        dataset=suite.dataset,
        seeds=[0],
        metrics=metrics,
        duration_s=seconds,
        notes=suite.notes,
        environment=environment,
    )


def build_suite(args: argparse.Namespace) -> Suite:
    every = {name for names in OPTIONS.values() for name in names}
    given = {name for name in every if getattr(args, name) is not None}
    if unknown := given - set(OPTIONS[args.suite]):
        flags = ', '.join(f'--{name.replace("_", "-")}' for name in sorted(unknown))
        raise SystemExit(
            f'{flags}: expected options of the suite {args.suite} only; leave it out'
        )
    suite: Any = SUITES[args.suite]
    return suite(configs=CONFIGS, **{name: getattr(args, name) for name in given})


def chosen(suite: Suite, only: list[str] | None) -> list[str]:
    if unknown := set(only or ()) - set(suite.comparisons):
        raise SystemExit(
            f'--only {" ".join(sorted(unknown))}: expected measurements of '
            f'{", ".join(suite.comparisons)}'
        )
    return only or list(suite.comparisons)


def measure(suite: Suite, names: list[str]) -> dict[str, float]:
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
