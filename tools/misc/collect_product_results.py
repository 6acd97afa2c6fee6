r"""Collect finished streams of products into one results file, method by method.

Example:
    collect_product_results.py docs/results/products_1-1x9_cpu.json \
        --dataset 'ten products' --apart pcb --command 'tools/train.py ...' \
        resnet50/memory=work_dirs/memory_resnet50 mobilenet-v2/coreset=work_dirs/coreset

Names are ENCODER/METHOD. Runs of the same name and seed are replaced, all others in the
file stay, so a stream can be added as soon as it is finished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.product_results import product_runs
from lab.results import Run, mean_std, read_growing, write_runs


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path, help='JSON file to write or to add to')
    parser.add_argument('--dataset', required=True, help='name of the dataset')
    parser.add_argument('--command', required=True, help='what produced the work dirs')
    parser.add_argument(
        '--apart', nargs='*', default=[], help='products that no mean of AUROCs counts'
    )
    parser.add_argument('--notes', help='what a reader must know; the old ones stay')
    parser.add_argument(
        'streams',
        nargs='+',
        metavar='ENCODER/METHOD=WORK_DIR[,WORK_DIR...]',
        help='work dirs of a method, one per seed',
    )
    args = parser.parse_args(argv)
    for entry in args.streams:
        name, _, folders = entry.partition('=')
        if name.count('/') != 1 or not folders:
            parser.error(f'{entry}: expected ENCODER/METHOD=WORK_DIR[,...]')
    return args


def summed_up(runs: Sequence[Run]) -> Mapping[str, float]:
    """Average over seeds what all of them have."""
    rows = [run['metrics'] for run in runs]
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    return mean_std([{name: row[name] for name in shared} for row in rows])


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    known = read_growing(args.out, name=args.out.stem, dataset=args.dataset)
    runs = known.get('runs', {})
    for entry in args.streams:
        name, _, folders = entry.partition('=')
        found = product_runs(folders.split(','), command=args.command, apart=args.apart)
        runs[name] = dict(sorted({**runs.get(name, {}), **found}.items()))
    written = write_runs(
        args.out,
        dataset=args.dataset,
        runs=runs,
        summed_up=summed_up,
        notes=known.get('notes', '') if args.notes is None else args.notes,
    )
    for key, value in written['metrics'].items():
        if key.count('/') == 2:
            print(f'{key:45s} {value:.4f}')
    print(f'written: {args.out}')


if __name__ == '__main__':
    main()
