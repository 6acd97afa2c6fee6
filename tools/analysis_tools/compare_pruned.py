r"""Put networks of several pruning sweeps into one results file and table.

Example:
    compare_pruned.py --results docs/results/cracks_cpu.json --dataset CRACK500 \
        --take parameters-0.10 mobilenet-v2/default=work_dirs/a_seed0,work_dirs/a_seed1

One work dir of tools/prune.py a seed. The file grows: variants that are not given stay.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.pruning_latency import TimeAgain
from lab.pruning_results import CHOSEN, add_sweeps, trade_off_of
from lab.tables.results_table import render_table
from mmdefect.visualization.plots import save_figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'variants',
        nargs='+',
        metavar='PARENT/VARIANT=WORK_DIR[,WORK_DIR...]',
        help='sweeps of one variant, one per seed',
    )
    parser.add_argument(
        '--results', type=Path, required=True, help='results file to add them to'
    )
    parser.add_argument('--dataset', required=True, help='name of the data')
    parser.add_argument(
        '--take',
        default=CHOSEN,
        metavar='NETWORK',
        help='chosen (default), parent (as load_from has it), dense (its head fitted '
        'and trained as the others), or a name such as parameters-0.10',
    )
    parser.add_argument(
        '--time-again',
        type=int,
        metavar='PIXELS',
        help='time all networks now, on an image of this side and in turns with the '
        'whole network, instead of taking what each sweep measured when it tested',
    )
    parser.add_argument('--notes', help='what a reader of the file must know')
    parser.add_argument(
        '--plot', type=Path, help='draw accuracy, parameters and latency into this PNG'
    )
    args = parser.parse_args(argv)
    for entry in args.variants:
        name, _, folders = entry.partition('=')
        if name.count('/') != 1 or not all([*name.split('/'), folders]):
            parser.error(f'{entry}: expected PARENT/VARIANT=WORK_DIR[,...]')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    pairs = (entry.split('=', 1) for entry in args.variants)
    add_sweeps(
        args.results,
        {name: folders.split(',') for name, folders in pairs},
        dataset=args.dataset,
        take=args.take,
        notes=args.notes,
        timer=TimeAgain(args.time_again) if args.time_again else None,
    )
    content = json.loads(args.results.read_text(encoding='utf-8'))
    print(render_table(content, {}))
    if args.plot:
        print(f'drew {save_figure(trade_off_of(content["metrics"]), args.plot)}')
    print(f'written: {args.results}')


if __name__ == '__main__':
    main()
