r"""Rows of the papers' tables at the papers' size, on one large GPU, in short visits.

Example:
    python -m lab.paper_rows neu-det --rows finetune sd_idd --minutes 9 \
        --work-dir work_dirs/paper_neu-det --out docs/results/neu-det_3+3_r50.json

Rows are trained one after the other by tools/train.py. When the minutes are over, the
one at work is stopped; the same command goes on at its last epoch, and does nothing
again that is finished. All finished rows are in the results file.

Outside a clone, the commit comes from the environment variable GIT_COMMIT.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import mmdefect  # noqa: F401  registers the scope and the mmcv stand-in
from lab.paper_tables import TABLES, PaperTable
from lab.stream_results import collect, finished

ROOT = Path(__file__).resolve().parents[1]
# Trains until it is done or so many seconds are over; tells whether it is done.
Train = Callable[[Sequence[str], float], bool]


def command_of(
    table: PaperTable,
    name: str,
    work_dir: Path,
    *,
    seed: int = 0,
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command that trains or resumes a row, from the repository's root."""
    row, first = table.rows[name], next(iter(table.rows))
    given = [*table.options, *row.options, f'randomness.seed={seed}', *options]
    if name != first and not row.own_base:
        given.append(f'stream.start_from={work_dir / first}')
    return [
        'tools/train.py', f'configs/{row.config}.py', *table.flags,
        '--work-dir', str(work_dir / name), '--resume', '--cfg-options', *given,
    ]  # fmt: skip


def is_finished(folder: Path) -> bool:
    """Whether a stream is trained and scored to its end."""
    try:
        finished(folder)
    except (FileNotFoundError, ValueError):
        return False
    return True


def train_rows(
    table: PaperTable,
    names: Sequence[str],
    work_dir: Path,
    *,
    seconds: float,
    train: Train,
    seed: int = 0,
    options: Sequence[str] = (),
) -> list[str]:
    """Train rows until all are finished or the time is over; return the finished ones.

    The first row of the table is trained before others that share its step 0.
    """
    until = time.monotonic() + seconds
    first = next(iter(table.rows))
    if any(not table.rows[name].own_base for name in names):
        names = [first, *(name for name in names if name != first)]
    done = []
    for name in names:
        if not is_finished(work_dir / name):
            left = until - time.monotonic()
            command = command_of(table, name, work_dir, seed=seed, options=options)
            if left <= 0 or not train(command, left):
                break
        done.append(name)
    return done


def train(command: Sequence[str], seconds: float) -> bool:
    """Run a tool of the repository; stop it as a scheduler would when time is over.

    Raises:
        subprocess.CalledProcessError: It failed; it said why.
    """
    with subprocess.Popen([sys.executable, *command], cwd=ROOT) as process:  # noqa: S603  our tools, no shell
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            return False
        except BaseException:
            process.terminate()
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)
    return True


def write_rows(
    path: Path, table: PaperTable, done: Sequence[str], work_dir: Path, command: str
) -> None:
    """Write the results file of all finished rows."""
    found = collect({name: [work_dir / name] for name in done}, command=command)
    found.write(
        path,
        name=path.stem,
        command=command,
        dataset=table.dataset,
        notes=table.notes,
    )


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('table', choices=TABLES)
    parser.add_argument('--rows', nargs='+', help='some of its rows; all by default')
    parser.add_argument('--work-dir', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True, help='results file to write')
    parser.add_argument('--minutes', type=float, default=9.0, help='of this visit')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cfg-options', nargs='+', default=[], help='of all rows')
    args = parser.parse_args(argv)
    known = TABLES[args.table].rows
    if unknown := set(args.rows or ()) - set(known):
        parser.error(f'--rows {unknown.pop()}: expected some of {", ".join(known)}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Return 1 if rows are left for the next visit."""
    args = parse_args(argv)
    table = TABLES[args.table]
    names = args.rows or list(table.rows)
    done = train_rows(
        table,
        names,
        args.work_dir.resolve(),
        seconds=60 * args.minutes,
        train=train,
        seed=args.seed,
        options=args.cfg_options,
    )
    left = [name for name in names if name not in done]
    if done:
        words = sys.argv[1:] if argv is None else argv
        command = shlex.join(['python', '-m', 'lab.paper_rows', *words])
        write_rows(args.out, table, done, args.work_dir.resolve(), command)
        print(f'{args.out}: {", ".join(done)}')
    if left:
        print(f'left for the next visit: {", ".join(left)}; give the same command')
    return int(bool(left))


if __name__ == '__main__':
    sys.exit(main())
