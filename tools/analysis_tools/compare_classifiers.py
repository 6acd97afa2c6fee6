r"""Train and test classifiers alike, and compare them in one table.

Example:
    compare_classifiers.py configs/casting/luna_casting.py \
        configs/casting/mobilenet-v2_casting.py --work-dir work_dirs/casting \
        --freeze none head fraction=0.33 --epochs 5

Every config is trained once for every --freeze, by tools/dist_train.sh, and tested by
tools/dist_test.sh; settings that cannot work are refused before the first one.
Interrupted, the same command goes on; what is finished is not done again. Without
configs, the work dirs given with --collect are compared.

The table, plots and a page go to WORK_DIR/comparison; --results adds every run to a
results file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from mmdefect.apis import load_config
from mmdefect.comparison.freeze_rule import SIMILARITIES, suggest
from mmdefect.comparison.options import (
    check_run,
    epochs_options,
    freeze_options,
    protocol_options,
)
from mmdefect.comparison.record import RECORD, read_record
from mmdefect.comparison.report import (
    by_protocol,
    comparison_table,
    read_rows,
    write_classifiers,
)
from mmdefect.comparison.run import train_and_test
from mmdefect.utils.console import quiet_console
from mmdefect.visualization.page import markdown_table

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'
sys.path.append(str(ROOT))  # for lab/


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
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
    parser.add_argument('--protocol', help="split of all, instead of the configs'")
    parser.add_argument(
        '--epochs', type=int, help="of all, their schedules with them; the configs' own"
    )
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
    args = parser.parse_args(argv)
    if not (args.configs or args.collect or args.drift):
        parser.error('nothing to do: expected configs, --collect or --drift')
    if args.results and not args.dataset:
        parser.error('--results: expected --dataset too, the name of the data')
    if (args.results or args.drift) and not (ROOT / 'lab').is_dir():
        parser.error('--results and --drift: expected a checkout; git clone it')
    return args


class Planned(NamedTuple):
    """A training that was asked for."""

    config: Path
    folder: Path
    options: list[str]


def planned(args: argparse.Namespace) -> list[Planned]:
    """Every config with every ``--freeze``, checked."""
    runs = []
    protocol = protocol_options(args.protocol) if args.protocol else []
    for config in map(Path, args.configs):
        cfg = load_config(config)
        epochs = [] if args.epochs is None else epochs_options(cfg, args.epochs)
        for freeze in args.freeze or [None]:
            frozen = freeze_options(freeze, cfg) if freeze else []
            options = [*frozen, *protocol, *epochs, *args.cfg_options]
            for warning in check_run(config, options):
                print(f'warning: {warning}')
            parts = [config.stem, args.protocol, freeze and freeze.replace('=', '-')]
            folder = args.work_dir / '+'.join(part for part in parts if part)
            runs.append(Planned(config, folder, options))
    return runs


def train_all(runs: Sequence[Planned], *, processes: int) -> None:
    """Train and test one after the other, and say how much is left."""
    finished = [(run.folder / RECORD).is_file() for run in runs]
    print(f'{len(runs)} runs, {sum(finished)} of them finished before', flush=True)
    begin, trained = time.monotonic(), 0
    for number, (run, known) in enumerate(zip(runs, finished, strict=True), 1):
        doing = 'finished before' if known else 'trains and is tested'
        print(f'{run.folder.name}: {number} of {len(runs)}, {doing}', flush=True)
        train_and_test(
            run.config,
            run.folder,
            tools=TOOLS,
            processes=processes,
            options=run.options,
        )
        if known:
            continue
        trained += 1
        minutes = (time.monotonic() - begin) / trained / 60
        left = len(runs) - number - sum(finished[number:])
        print(
            f'{run.folder.name}: done, {minutes:.1f} min a run, about '
            f'{left * minutes:.0f} min left for {left} more',
            flush=True,
        )


def check_results(args: argparse.Namespace) -> None:
    """Refuse a tree whose commit will not tell what ran, before it runs."""
    if args.results:
        # A changed results file makes the runs behind it dirty, not those before.
        from lab.results import clean_commit

        spared = None if args.configs else args.results
        clean_commit(args.results.parent, ignore=spared)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    quiet_console()
    if args.drift:
        from lab.drift import compare_checkpoints, drift_table

        drift = compare_checkpoints(*args.drift)
        print(markdown_table(drift_table(drift)))
    check_results(args)
    for folder in args.collect:
        read_record(folder)
    runs = planned(args)
    train_all(runs, processes=args.gpus)
    folders = [*(run.folder for run in runs), *args.collect]
    if not folders:
        return
    rows = read_rows(folders)
    for protocol, group in by_protocol(rows).items():
        print(f'\nSplit: {protocol}\n\n{markdown_table(comparison_table(group))}')
    print(f'\npage: {write_classifiers(rows, args.work_dir / "comparison")}')
    if args.similarity:
        print(suggest(max(row.record.train_images for row in rows), args.similarity))
    if args.results:
        from lab.classifier_results import add_rows

        add_rows(args.results, rows, dataset=args.dataset)
        print(f'written: {args.results}')


if __name__ == '__main__':
    main()
