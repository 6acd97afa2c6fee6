"""Plot logged scalars of one or several work dirs, or tell their training time.

A work dir of a stream counts as one run per step.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdefect.visualization.logs import is_training, read_scalars, series
from mmdefect.visualization.plots import curves, save_figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(dest='task', required=True)
    plot = tasks.add_parser('plot_curve', help='plot scalars over iterations')
    plot.add_argument('work_dirs', nargs='+', type=Path)
    plot.add_argument('--keys', nargs='+', default=['loss'], help='scalars to plot')
    plot.add_argument('--out', type=Path, required=True, help='PNG to write')
    plot.add_argument('--title', default='')
    time = tasks.add_parser('cal_train_time', help='time of an iteration')
    time.add_argument('work_dirs', nargs='+', type=Path)
    return parser.parse_args(argv)


def read_runs(work_dirs: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Read name of each run -> its logged rows; refuse runs without any."""
    runs = {}
    for work_dir in work_dirs:
        is_stream = (work_dir / 'stream.json').is_file()
        folders = sorted(work_dir.glob('step_*')) if is_stream else [work_dir]
        for folder in folders:
            name = f'{work_dir.name}/{folder.name}' if is_stream else work_dir.name
            runs[name] = read_scalars(folder)
    logged = {name: rows for name, rows in runs.items() if rows}
    for name in runs.keys() - logged.keys():
        print(f'{name}: nothing was logged')
    if not logged:
        raise SystemExit(
            f'{", ".join(map(str, work_dirs))}: expected work dirs of training, with '
            'vis_data/scalars.json'
        )
    return logged


def plot_curve(args: argparse.Namespace) -> None:
    runs = read_runs(args.work_dirs)
    lines = {
        f'{name} {key}': curve
        for name, rows in runs.items()
        for key, curve in series(rows, args.keys).items()
    }
    if not lines:
        known = sorted({key for rows in runs.values() for row in rows for key in row})
        raise SystemExit(
            f'--keys {" ".join(args.keys)}: expected of what was logged, '
            f'{", ".join(known)}'
        )
    ylabel = ', '.join(args.keys)
    print(save_figure(curves(lines, title=args.title, ylabel=ylabel), args.out))


def cal_train_time(args: argparse.Namespace) -> None:
    for name, rows in read_runs(args.work_dirs).items():
        times = [row['time'] for row in rows if is_training(row) and 'time' in row]
        if not times:
            print(f'{name}: no times were logged')
            continue
        print(
            f'{name}: {statistics.fmean(times):.4f} s an iteration on average, '
            f'median {statistics.median(times):.4f}, slowest {max(times):.4f}, '
            f'{len(times)} log lines'
        )


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    {'plot_curve': plot_curve, 'cal_train_time': cal_train_time}[args.task](args)


if __name__ == '__main__':
    main()
