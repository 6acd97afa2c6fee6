"""``mmdefect doctor``: what is installed, what is wrong, and what cures it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mmdefect.cli import data_sets, facts, findings
from mmdefect.cli.findings import Finding
from mmdefect.version import __version__

HELP = """Check the installation, the machine and the data, and say what cures them.

Each line is ok, warning or broken. Ends with 1 if something is broken, else with 0."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        '--data',
        type=Path,
        default=Path('data'),
        metavar='DIR',
        help='data sets (data)',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(args: argparse.Namespace) -> int:
    """Look at everything and print it."""
    found = examine(args.data)
    if args.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        print('\n'.join(in_lines(found)))
    return int(any(one.state == 'broken' for one in found))


def examine(data: Path = Path('data')) -> list[Finding]:
    """Gather the facts and say what they mean.

    Args:
        data: Folder of the data sets.
    """
    versions = facts.installed()
    errors = facts.tried_imports()
    devices, problem = facts.gpus()
    here = Path.cwd()
    return [
        Finding('mmdefect', 'ok', f'{__version__}, {Path(__file__).parents[1]}'),
        findings.python(sys.version_info[:3]),
        findings.provider(versions),
        findings.torch(versions, error=errors.get('torch')),
        findings.operators(versions, facts.compiled_operators()),
        findings.gpu(
            devices, torch_sees=errors.get('torch sees a GPU'), problem=problem
        ),
        findings.opencv(versions, error=errors.get('cv2')),
        findings.numpy(versions, error=errors.get('numpy')),
        *findings.runtimes(versions, errors),
        findings.disk(shutil.disk_usage(here).free, str(here)),
        findings.shared_memory(facts.shared_memory()),
        findings.threads(os.environ.get('OMP_NUM_THREADS'), facts.cores()),
        findings.writing(str(here), facts.write_error(here)),
        *data_sets.look(data),
    ]


def in_lines(found: Sequence[Finding]) -> list[str]:
    """A line a finding, its cure below it, and how many there are of each kind."""
    width = max(len(one.name) for one in found)
    lines = []
    for one in found:
        lines.append(f'{one.state:8} {one.name:{width}}  {one.text}')
        if one.state != 'ok':
            lines.append(f'{"":8} {"":{width}}  -> {one.cure}')
    counts = {
        state: sum(one.state == state for one in found)
        for state in ('ok', 'warning', 'broken')
    }
    return [*lines, ', '.join(f'{number} {state}' for state, number in counts.items())]
