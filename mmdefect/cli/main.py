"""What ``mmdefect`` does with its first word: load one module, and end in one sentence.

A subcommand is a module with ``HELP``, ``add_arguments(parser)`` and ``run(args)``,
which returns the exit status. One with ``PASSES_ON`` reads its arguments itself and
gets them as ``args.arguments``. One with ``INTERMIXED`` has those without a dash taken
together, wherever they stand.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from mmdefect.version import __version__

#: Subcommand -> module and what the list says of it.
COMMANDS = {
    'predict': ('mmdefect.cli.predict', 'look at images: ok or defective, and where'),
    'export': ('mmdefect.cli.export', 'make a package that runs without torch'),
    'serve': ('mmdefect.cli.serve', 'answer over HTTP with one or more packages'),
    'line': ('mmdefect.cli.line', 'promote behind a gate, remember every decision'),
    'app': ('mmdefect.cli.app', 'a page in the browser: pictures, exams, queue, drift'),
    'calibrate': ('mmdefect.cli.calibrate', 'choose thresholds on validation images'),
    'init': ('mmdefect.cli.init', 'look at your data and write a config for it'),
    'train': ('mmdefect.cli.tool', 'train a config: what tools/train.py does'),
    'test': ('mmdefect.cli.tool', 'test a checkpoint: what tools/test.py does'),
    'list': ('mmdefect.cli.list', 'methods, datasets, presets, measured results'),
    'doctor': ('mmdefect.cli.doctor', 'check the installation, and say what cures it'),
}
#: Errors that a user can do something about. All others are shown with their traceback.
USER_ERRORS = (ValueError, OSError, ImportError, RuntimeError)


class ToolError(RuntimeError):
    """What a script of ``tools/`` has said in one sentence when it ended."""


#: A path that is not there, or is of the wrong kind.
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Args:
        argv: Without the name of the program; by default those of this process.

    Returns:
        The exit status: 0, 1 after an error, 130 after Ctrl-C, 143 after SIGTERM.
        Wrong arguments end the process with 2, as argparse does.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files may be of any bytes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    parser = _top_parser()
    asked = parser.parse_args(argv)
    if asked.command is None:
        parser.print_help(sys.stderr)
        return 2
    from mmdefect.utils.interrupts import (
        SIGNALS,
        first_process,
        raise_interrupts,
        watch_launcher,
    )

    before = {one: signal.getsignal(one) for one in SIGNALS}
    try:
        raise_interrupts()  # drafts are removed on the way out
        watch_launcher()
        return _run(asked)
    except KeyboardInterrupt as stop:
        if first_process():  # of several, the others have nothing to add
            print('\nmmdefect: interrupted', file=sys.stderr)
        return int(getattr(stop, 'status', 128 + signal.SIGINT))
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _run(asked: argparse.Namespace) -> int:
    module = import_module(COMMANDS[asked.command][0])
    passes_on = getattr(module, 'PASSES_ON', False)
    traced = '--traceback' in asked.arguments
    try:
        given = asked if passes_on else _arguments(module, asked)
        return int(module.run(given))
    except BrokenPipeError:  # `mmdefect list | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # whatever it is, it is said here
        # A tool has said in one sentence what it has to say; the rest needs its place.
        known = (ImportError, ToolError) if passes_on else USER_ERRORS
        if traced or not isinstance(error, known):
            traceback.print_exc()
        words = [asked.command, *asked.arguments]
        called = f'`mmdefect {shlex.join(words[:6])}{" ..." * (len(words) > 6)}`'
        print(f'mmdefect: error: {sentence(error, called)}', file=sys.stderr)
        return 1


def sentence(error: Exception, called: str) -> str:
    """What an error says, in one line.

    Args:
        called: The command line, for errors that do not say what they are about.
    """
    if isinstance(error, OSError) and error.errno:
        named = [str(one) for one in (error.filename, error.filename2) if one]
        return f'{" -> ".join(named) or called}: {_expected(error)}'
    if isinstance(error, ModuleNotFoundError) and error.name == 'torch':
        return _without_torch()
    text = ' '.join(str(error).split())
    if not isinstance(error, USER_ERRORS):
        return f'{type(error).__name__}: {text}; this is not meant to happen, see above'
    if _of_a_library(error):
        return f'{called}: {type(error).__name__}: {text}'
    return text


def _of_a_library(error: Exception) -> bool:
    """Whether it is of a kind that others raise, who know no names of files."""
    room = type(error).__module__.partition('.')[0]
    others = room == 'builtins' and isinstance(error, (RuntimeError, UnicodeError))
    return others or room not in ('builtins', 'mmdefect')


def _expected(error: OSError) -> str:
    if error.errno in _NOT_THERE:
        return f'{error.strerror}; expected a path that is there; check it'
    return (
        f'{error.strerror}; expected a place that can be read and written: check its '
        'rights and the space left'
    )


def _without_torch() -> str:
    from mmdefect.compat import check_torch

    try:
        check_torch()
    except ImportError as error:
        return str(error)
    return 'torch cannot be imported; run `mmdefect doctor`'


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = '\n'.join(
        f'  {name:{width}}  {line}' for name, (_, line) in COMMANDS.items()
    )
    parser = argparse.ArgumentParser(
        prog='mmdefect',
        usage='mmdefect [-h] [--version] COMMAND ...',
        description='Industrial defect inspection: from photographs to decisions.',
        epilog=f'commands:\n{listed}\n\nmmdefect COMMAND --help says more.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--version', action='version', version=__version__)
    parser.add_argument(
        'command',
        nargs='?',
        choices=COMMANDS,
        metavar='COMMAND',
        help=argparse.SUPPRESS,
    )
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _arguments(module: ModuleType, asked: argparse.Namespace) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f'mmdefect {asked.command}',
        description=getattr(module, 'HELP', module.__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument(
        '--traceback', action='store_true', help='show where an error was raised'
    )
    if getattr(module, 'INTERMIXED', False):
        return parser.parse_intermixed_args(asked.arguments)
    return parser.parse_args(asked.arguments)
