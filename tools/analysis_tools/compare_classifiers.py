r"""Train and test classifiers alike, and compare them in one table.

Example:
    compare_classifiers.py configs/casting/luna_casting.py \
        configs/casting/mobilenet-v2_casting.py --work-dir work_dirs/casting \
        --freeze none head fraction=0.33 --cfg-options train_cfg.max_epochs=5

Every config is trained once for every --freeze, by tools/dist_train.sh, and tested by
tools/dist_test.sh. Interrupted, the same command goes on; what is finished is not done
again. Without configs, the work dirs given with --collect are compared.

The table, plots and a page go to WORK_DIR/comparison; --results adds every run to a
results file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from mmdefect.streams.report_page import markdown_table
from mmdefect.study.comparison import (
    by_protocol,
    comparison_table,
    read_rows,
    write_comparison,
)
from mmdefect.study.drift import compare_checkpoints, drift_table
from mmdefect.study.freeze_rule import SIMILARITIES, suggest
from mmdefect.study.results import add_rows
from mmdefect.study.run import freeze_options, protocol_options, train_and_test

TOOLS = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='*', help='classifier configs to train')
    parser.add_argument(
        '--work-dir', type=Path, required=True, help='a folder a run goes in here'
    )
    parser.add_argument('--gpus', type=int, default=1, help='GPUs or CPU processes')
    parser.add_argument(
        '--freeze',
        nargs='+',
        default=[],
        metavar='MODE',
        help="none, head, fraction=0.33, quadrant=Q3; the configs' own by default",
    )
    parser.add_argument('--protocol', help='split of all, instead of the configs')
    parser.add_argument(
        '--collect',
        nargs='+',
        type=Path,
        default=[],
        metavar='WORK_DIR',
        help='classifiers that this tool trained before',
    )
    parser.add_argument(
        '--drift',
        nargs=2,
        metavar=('FROZEN', 'TUNED'),
        help='two checkpoints of one architecture: how far training moved the weights',
    )
    parser.add_argument(
        '--similarity',
        choices=SIMILARITIES,
        help='of the images to those of the pretraining: prints what the four-quadrant '
        'rule suggests to freeze',
    )
    parser.add_argument('--results', type=Path, help='results file to add the runs to')
    parser.add_argument('--dataset', help='name of the data in the results file')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], help='overrides for all, key=value'
    )
    args = parser.parse_args()
    if not (args.configs or args.collect or args.drift):
        parser.error('nothing was given, configs, --collect or --drift was expected')
    if args.results and not args.dataset:
        parser.error('--results was given without --dataset, its name was expected')
    return args


def trained(args: argparse.Namespace) -> list[Path]:
    """Train what is not trained yet; return the work dirs."""
    folders = []
    for config in map(Path, args.configs):
        for freeze in args.freeze or [None]:
            options = freeze_options(freeze) if freeze else []
            options += protocol_options(args.protocol) if args.protocol else []
            parts = [config.stem, args.protocol, freeze and freeze.replace('=', '-')]
            folder = args.work_dir / '+'.join(part for part in parts if part)
            print(f'{folder.name}: {len(folders) + 1} of {expected(args)}', flush=True)
            train_and_test(
                config,
                folder,
                tools=TOOLS,
                processes=args.gpus,
                options=[*options, *args.cfg_options],
            )
            folders.append(folder)
    return folders


def expected(args: argparse.Namespace) -> int:
    """Number of trainings that were asked for."""
    return len(args.configs) * max(1, len(args.freeze))


def main() -> None:
    args = parse_args()
    if args.drift:
        drift = compare_checkpoints(*args.drift)
        print(markdown_table(drift_table(drift)))
    folders = [*trained(args), *args.collect]
    if not folders:
        return
    rows = read_rows(folders)
    for protocol, group in by_protocol(rows).items():
        print(f'\nSplit: {protocol}\n\n{markdown_table(comparison_table(group))}')
    print(f'\npage: {write_comparison(rows, args.work_dir / "comparison")}')
    if args.similarity:
        print(suggest(max(row.record.train_images for row in rows), args.similarity))
    if args.results:
        add_rows(args.results, rows, dataset=args.dataset)
        print(f'written: {args.results}')


if __name__ == '__main__':
    main()
