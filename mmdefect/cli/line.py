"""``mmdefect line``: its second word is one of the modules below.

Each has ``HELP``, ``add_arguments(parser)`` and ``run(args)``, as those of
:mod:`mmdefect.cli.main`; what is large is imported when it runs.
"""

from __future__ import annotations

import argparse
from importlib import import_module

HELP = """A line: versions of a model behind a gate, and every decision of theirs.

A line is a folder; see docs/line.md."""

#: Subcommand -> module and what the list says of it.
COMMANDS = {
    'init': ('mmdefect.cli.line_init', 'make a line: an empty folder becomes one'),
    'add-exam': ('mmdefect.cli.line_exam', 'freeze labelled images as an exam'),
    'promote': (
        'mmdefect.cli.line_promote',
        'examine a package, and use it if nothing is lost',
    ),
    'rollback': ('mmdefect.cli.line_rollback', 'use the version before again'),
    'versions': ('mmdefect.cli.line_versions', 'list what was promoted'),
    'log': ('mmdefect.cli.line_log', 'print what has happened, the newest last'),
    'status': ('mmdefect.cli.line_status', 'versions, decisions, verdicts, drift'),
    'reference': ('mmdefect.cli.line_reference', 'say what is usual, for drift'),
    'verify': ('mmdefect.cli.line_verify', 'whether any row was changed or is missing'),
    'verdict': ('mmdefect.cli.line_verdict', 'say what is right about a decision'),
    'queue': ('mmdefect.cli.line_queue', 'what a person has to look at'),
    'since-when': ('mmdefect.cli.line_since_when', 'from when on it was overlooked'),
    'export-feedback': ('mmdefect.cli.line_feedback', 'reviewed images as a data set'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    commands = parser.add_subparsers(
        dest='line_command', metavar='COMMAND', required=True, title='commands'
    )
    for name, (module, line) in COMMANDS.items():
        found = import_module(module)
        one = commands.add_parser(
            name,
            help=line,
            description=found.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        found.add_arguments(one)
        one.add_argument(
            '--traceback', action='store_true', default=argparse.SUPPRESS,
            help='show where an error was raised',
        )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do what the second word says."""
    module = import_module(COMMANDS[args.line_command][0])
    return int(module.run(args))
