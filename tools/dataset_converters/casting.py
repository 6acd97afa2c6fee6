"""Make a split of the casting set that keeps all siblings of a photograph together.

    python tools/dataset_converters/casting.py data/casting_data
    python tools/dataset_converters/casting.py data/originals --protocol part_level

writes ``casting_<protocol>.csv`` into the folder, which ``CastingDataset`` finds there.
``--protocol legacy`` prints the vendor's split and writes nothing. ``--calibrate``
chooses the threshold with siblings made on purpose; ``--report`` keeps what was
measured, ``--pictures`` draws clusters and the curve of leakage against the threshold.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdefect.converters import casting
from mmdefect.converters.near_duplicates.calibration import Row, choose
from mmdefect.converters.near_duplicates.similarity import METHODS
from mmdefect.datasets.casting.layout import CASTING_CLASSES
from mmdefect.datasets.casting.split import (
    PROTOCOLS,
    count_subsets,
    legacy_split,
    split_file_name,
    write_split,
)

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # for lab/


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='e.g. data/casting_data')
    parser.add_argument('--protocol', choices=PROTOCOLS, default='cluster_level')
    parser.add_argument('--out', type=Path, help='default: ROOT/casting_PROTOCOL.csv')
    parser.add_argument(
        '--threshold', type=float, default=casting.THRESHOLD, help='of siblings'
    )
    parser.add_argument('--seed', type=int, default=0, help='of split and siblings')
    parser.add_argument('--cache', type=Path, help='.npz that keeps the descriptors')
    parser.add_argument(
        '--expect', choices=['real'], help='compare the totals with the published set'
    )
    group = parser.add_argument_group('calibration')
    group.add_argument(
        '--calibrate', action='store_true', help='choose the threshold anew'
    )
    group.add_argument('--siblings', type=int, default=500, help='how many to make')
    group.add_argument('--report', type=Path, help='results file, on a clean tree')
    group.add_argument('--pictures', type=Path, help='folder, never to be committed')
    args = parser.parse_args(argv)
    if (args.report or args.pictures) and not args.calibrate:
        parser.error('--report and --pictures go with --calibrate')
    if args.report and not (ROOT / 'lab').is_dir():
        parser.error('--report needs a checkout: git clone the repository')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    begin = time.monotonic()
    try:
        if args.report:  # before minutes of work
            from lab.results import clean_commit

            clean_commit(args.report.parent, ignore=args.report)
        scan = casting.scan_casting(
            args.root, args.protocol, expect_real=args.expect == 'real'
        )
        print(f'{scan.folder}: {len(scan.images)} images', flush=True)
        if args.protocol == 'legacy':
            print_subsets(count_subsets(legacy_split(scan.images), scan.images))
            return 0
        metrics = convert(args, scan)
        if args.report:
            report(args, metrics, time.monotonic() - begin)
    except (OSError, RuntimeError, ValueError) as error:
        print(f'ERROR: {error}')
        return 1
    return 0


def convert(args: argparse.Namespace, scan: casting.CastingScan) -> dict[str, float]:
    """Find siblings, share them out and write the split file."""
    what = casting.study(scan, cache=args.cache, floor=floor(args))
    metrics: dict[str, float] = {}
    threshold = args.threshold
    if args.calibrate:
        threshold = calibrate(args, what, metrics)
    found = casting.measure(what, threshold)
    rows = casting.make_split(what, threshold, seed=args.seed)
    found |= casting.describe_split(rows, scan)
    print(f'threshold {threshold:g}')
    for key, value in found.items():
        print(f'{key:24s} {value:g}')
    out = args.out or args.root / split_file_name(args.protocol)
    write_split(out, rows)
    print(f'wrote {out}')
    if args.pictures:
        draw(args.pictures, what, threshold, metrics)
    return {**found, 'threshold': threshold, **metrics}


def floor(args: argparse.Namespace) -> float:
    """Smallest similarity that is needed: of all thresholds tried, or of the one."""
    lowest = casting.THRESHOLDS[0]
    return lowest if args.calibrate else args.threshold


def calibrate(
    args: argparse.Namespace, what: casting.Study, metrics: dict[str, float]
) -> float:
    """Try every descriptor and threshold; return the threshold of ``aligned``."""
    chosen: dict[str, Row] = {}
    for method in METHODS:
        tried = what
        if method != what.method:
            tried = casting.study(what.scan, cache=args.cache, floor=0.9, method=method)
        rows = casting.calibrate(tried, siblings=args.siblings, seed=args.seed)
        rows = [row for row in rows if row.threshold >= tried.floor]
        print_rows(method, rows)
        for row in rows:
            name = f'{method}/{row.threshold:.2f}'
            metrics |= {f'{name}/{k}': v for k, v in row._asdict().items() if v == v}
            metrics.pop(f'{name}/threshold')
        if method == what.method:
            chosen[method] = choose(rows)
    row = chosen[what.method]
    metrics |= {'sibling_recall': row.recall, 'sibling_direct': row.direct}
    metrics |= {'sibling_stray': row.stray, 'siblings': args.siblings}
    return row.threshold


def print_rows(method: str, rows: Sequence[Row]) -> None:
    print(f'\n{method}\n' + ' '.join(f'{name:>9s}' for name in Row._fields))
    for row in rows:
        print(' '.join(f'{value:9.4g}' for value in row))
    print(flush=True)


def print_subsets(counts: Mapping[str, Sequence[int]]) -> None:
    for subset, numbers in counts.items():
        kinds = zip(CASTING_CLASSES, numbers, strict=True)
        text = ', '.join(f'{name} {number}' for name, number in kinds)
        print(f'{subset:6s} {sum(numbers):5d}: {text}')


def draw(
    folder: Path, what: casting.Study, threshold: float, metrics: Mapping[str, float]
) -> None:
    """Draw clusters, and leakage, recall and the largest cluster over thresholds."""
    from mmdefect.visualization.plots import curves, save_figure

    casting.write_contact_sheet(what, threshold, folder / 'clusters.png')
    thresholds = casting.THRESHOLDS
    names = {'leak': 'leaked test images', 'largest': 'largest cluster'}
    names['recall'] = 'siblings found'
    series = {}
    for key, name in names.items():
        points = [(t, metrics.get(f'{what.method}/{t:.2f}/{key}')) for t in thresholds]
        series[name] = tuple(zip(*[p for p in points if p[1] is not None], strict=True))
    series = {name: points for name, points in series.items() if points}
    figure = curves(series, xlabel='threshold of similarity', ylabel='share')
    print(f'drew {save_figure(figure, folder / "leak.png").parent}')


def report(
    args: argparse.Namespace, metrics: Mapping[str, float], duration_s: float
) -> None:
    """Write what was measured."""
    from lab.results import write_results

    write_results(
        args.report,
        name=args.report.stem,
        command=f'python {" ".join(sys.argv)}',
        dataset='casting',
        seeds=[args.seed],
        metrics=metrics,
        duration_s=duration_s,
        notes=(
            'Clusters of images that show one photograph. <method>/<threshold>/<what>: '
            'what a threshold of similarity does; recall and direct are shares of '
            'siblings made on purpose (rotation, flips, brightness 0.8 to 1.2, JPEG), '
            "largest the share of its class, leak the share of the vendor's test "
            'images whose cluster has training images.'
        ),
    )


if __name__ == '__main__':
    raise SystemExit(main())
