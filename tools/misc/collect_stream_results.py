r"""Collect finished streams of several presets and seeds into one results file.

Example:
    collect_stream_results.py --name neu-det_3+3_cpu --dataset NEU-DET \
        --out docs/results/neu-det_3+3_cpu.json --command 'make results' \
        finetune=work_dirs/f_0,work_dirs/f_1 joint=work_dirs/j_0,work_dirs/j_1

Run by run, as streams finish: the same with --add and the work dirs at hand. Runs of
the same preset and seed are replaced, all others in the file stay.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.results import read_growing
from lab.stream_results import collect
from mmdefect.utils.checks import repeated


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--name', required=True, help='name of the experiment')
    parser.add_argument('--dataset', required=True, help='name of the dataset')
    parser.add_argument('--out', required=True, help='JSON file to write')
    parser.add_argument('--command', required=True, help='what produced the work dirs')
    parser.add_argument(
        '--notes', help='what a reader must know; with --add, the old ones by default'
    )
    parser.add_argument(
        '--add',
        action='store_true',
        help='add to the file, or begin it, instead of writing it anew',
    )
    parser.add_argument(
        'presets',
        nargs='+',
        metavar='PRESET=WORK_DIR[,WORK_DIR...]',
        help='work dirs of a preset, one per seed',
    )
    args = parser.parse_args(argv)
    for entry in args.presets:
        if not all(entry.partition('=')):
            parser.error(f'{entry}: expected PRESET=WORK_DIR[,...]')
    names = [entry.partition('=')[0] for entry in args.presets]
    if twice := sorted(repeated(names)):
        parser.error(f'{twice[0]}: expected it once, with all work dirs')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    pairs = (entry.split('=', 1) for entry in args.presets)
    known = {}
    if args.add:
        known = read_growing(args.out, name=args.name, dataset=args.dataset)
    found = collect(
        {name: folders.split(',') for name, folders in pairs},
        command=args.command,
        known=known.get('runs'),
    )
    found.write(
        args.out,
        name=args.name,
        command=args.command,
        dataset=args.dataset,
        notes=known.get('notes', '') if args.notes is None else args.notes,
    )
    for key, value in found.metrics.items():
        print(f'{key:24s} {value:.4f}')
    print(f'written: {args.out}')


if __name__ == '__main__':
    main()
