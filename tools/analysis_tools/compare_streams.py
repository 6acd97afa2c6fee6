"""Compare streams: a page, and its table on the terminal."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from mmdefect.streams.report.comparison import (
    LEGEND,
    comparison_table,
    read_streams,
    write_comparison,
)
from mmdefect.visualization.page import markdown_table


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'streams',
        nargs='+',
        metavar='NAME=WORK_DIR',
        help='a stream to compare; one named joint is the upper bound',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    args = parser.parse_args(argv)
    for entry in args.streams:
        if not all(entry.partition('=')):
            parser.error(f'{entry}: expected NAME=WORK_DIR')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    work_dirs = dict(entry.split('=', 1) for entry in args.streams)
    path = write_comparison(work_dirs, args.out)
    print(f'{textwrap.fill(LEGEND, 88)}\n')
    print(markdown_table(comparison_table(read_streams(work_dirs))))
    print(f'report: {path}')


if __name__ == '__main__':
    main()
