"""Figures of docs/reliability.md: kills at random moments, and the list of files.

python -m lab.reliability kills OUT --kills 100 --terms 30 --results FILE
python -m lab.reliability files
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

from lab.results import write_results

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/reliability.md'


def find_tests() -> None:
    """Have our own ``tests`` found: other packages install one, too."""
    package = ModuleType('tests')
    package.__path__ = [str(ROOT / 'tests')]
    sys.modules['tests'] = package


def kills(args: argparse.Namespace) -> int:
    """Kill runs, and write what came out of it, if nothing went wrong."""
    from tests.conftest import PROGRAMS
    from tests.helpers.kill_runs import kill_tasks, shared_out
    from tests.helpers.warm_python import start

    args.out.mkdir(parents=True)
    begin = time.monotonic()
    signals = shared_out(args.kills, args.terms, args.tasks)
    with ExitStack() as stack:
        programs = PROGRAMS
        if args.warm:
            (args.out / 'warm').mkdir()
            programs = stack.enter_context(start(args.out / 'warm'))
        metrics, wrong = kill_tasks(
            args.out, signals, programs=programs, seed=args.seed
        )
    for text in wrong:
        print(text)
    if args.results and not wrong:
        write_results(
            args.results,
            name=args.results.stem,
            command='python -m lab.reliability kills OUT '
            f'--kills {args.kills} --terms {args.terms} --seed {args.seed}'
            f'{" --warm" * args.warm}',
            dataset='drawn toy steel, products and cracks',
            seeds=[args.seed],
            metrics=metrics,
            duration_s=time.monotonic() - begin,
        )
    return int(bool(wrong))


def files(_: argparse.Namespace) -> int:
    """Write what is said of broken and hostile files into the documentation."""
    from tests.helpers.hostile_files import filled_in

    PAGE.write_text(filled_in(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the two."""
    names = ['detection', 'anomaly', 'classifier', 'pruning']
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    commands = parser.add_subparsers(required=True)
    kill = commands.add_parser('kills', help=kills.__doc__)
    kill.add_argument('out', type=Path, help='new folder')
    kill.add_argument('--kills', type=int, default=100, help='SIGKILL, of all tasks')
    kill.add_argument('--terms', type=int, default=30, help='SIGTERM, of all tasks')
    kill.add_argument('--tasks', nargs='+', default=names, choices=names)
    kill.add_argument('--seed', type=int, default=0)
    kill.add_argument(
        '--warm', action='store_true', help='faster: forks of one Python are killed'
    )
    kill.add_argument('--results', type=Path, help='results file to write')
    kill.set_defaults(run=kills)
    listed = commands.add_parser('files', help=files.__doc__)
    listed.set_defaults(run=files)
    args = parser.parse_args(argv)
    find_tests()
    return args.run(args)


if __name__ == '__main__':
    sys.exit(main())
