"""Fill the results tables of README.md and docs from docs/results/*.json."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for lab/
from lab.tables.results_table import render_documents

ROOT = Path(__file__).resolve().parents[2]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--check', action='store_true', help='write nothing, fail when a table is old'
    )
    parser.add_argument('--root', type=Path, default=ROOT, help='the repository')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    changed = render_documents(args.root, check=args.check)
    for path in changed:
        print(f'{"differs from its results" if args.check else "rendered"}: {path}')
    if args.check and changed:
        print('run tools/misc/render_results.py', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
