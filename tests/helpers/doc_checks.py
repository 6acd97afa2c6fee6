"""What can be said of a documented command without running it."""

from __future__ import annotations

import argparse
import inspect
import re
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import DictAction
from mmengine.registry import METRICS, MODELS, DefaultScope

from mmdefect.apis import load_config
from mmdefect.cli.main import COMMANDS
from tests.conftest import REPO

FOLDERS = (
    'configs',
    'demo',
    'docs',
    'lab',
    'mmdefect',
    'requirements',
    'tests',
    'tools',
)
PATH = re.compile(rf'(?<![\w/.])(?:{"|".join(FOLDERS)})/[\w./+-]*[\w+-]')
FENCED = re.compile(r'^ *```.*?^ *```$', re.MULTILINE | re.DOTALL)


def missing_paths(words: Sequence[str]) -> list[str]:
    """Files of the repository that are named and not there."""
    named = [path for word in words for path in PATH.findall(word)]
    return [path for path in named if not (REPO / path).exists()]


def prose(document: str) -> str:
    """Return a document without its code blocks and tables of results."""
    text = FENCED.sub('', (REPO / document).read_text(encoding='utf-8'))
    return re.sub(r'<!-- results:.*?<!-- /results -->', '', text, flags=re.DOTALL)


def inline_commands(document: str) -> Iterator[list[str]]:
    """Words of tools with arguments in the running text."""
    for text in re.findall(r'`((?:python |bash )?tools/[^`]+)`', prose(document)):
        words = text.split()
        if len(words) > 1:
            yield words


def tool_of(words: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return the Python script that a command starts, with its arguments.

    Raises:
        ValueError: ``dist_train.sh`` or ``dist_test.sh`` without a number of GPUs.
    """
    script, *arguments = dropwhile(lambda w: w in ('python', 'bash'), words)
    if match := re.fullmatch(r'tools/dist_(train|test)\.sh', script):
        place = {'train': 1, 'test': 2}[match[1]]
        if len(arguments) <= place or not arguments.pop(place).isdigit():
            raise ValueError(f'{place + 1}: expected a number of GPUs: {words}')
        script = f'tools/{match[1]}.py'
    return (script, arguments) if script.startswith('tools/') else None


class Parsed(Exception):  # noqa: N818  nothing went wrong
    """A tool understood its arguments."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments


def parse(script: str, arguments: Sequence[str]) -> argparse.Namespace:
    """Let a tool read its arguments, and stop it then.

    Raises:
        ValueError: It does not know one of them.
    """
    original = argparse.ArgumentParser.parse_args

    def stop(parser: Any, args: Any = None, namespace: Any = None) -> None:
        raise Parsed(original(parser, args, namespace))

    def error(parser: Any, message: str) -> None:
        raise ValueError(f'{script}: {message}')

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', [script, *arguments])
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        patch.setattr(argparse.ArgumentParser, 'error', error)
        try:
            runpy.run_path(str(REPO / script), run_name='__main__')
        except Parsed as parsed:
            return parsed.arguments
    raise ValueError(f'{script} reads no arguments')


def parse_command(words: Sequence[str]) -> None:
    """Let a command ``mmdefect ...`` read its arguments, and nothing else.

    Raises:
        ValueError: It does not know one of them.
    """
    if words[0] == 'tools/dist_predict.sh':  # a model, a number of processes, the rest
        words = ['mmdefect', 'predict', words[1], *words[3:]]
    name, *arguments = words[1:]
    module = import_module(COMMANDS[name][0]) if name in COMMANDS else None
    if module is None:
        raise ValueError(f'mmdefect {name}: expected one of {", ".join(COMMANDS)}')
    if getattr(module, 'PASSES_ON', False):
        parse(f'tools/{name}.py', arguments)
        return
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    module.add_arguments(parser)

    def error(message: str) -> None:
        raise ValueError(f'mmdefect {name}: {message}')

    parser.error = error  # type: ignore[method-assign, assignment]
    if getattr(module, 'INTERMIXED', False):
        parser.parse_intermixed_args(arguments)
    else:
        parser.parse_args(arguments)


def unknown_keys(arguments: argparse.Namespace) -> list[str]:
    """Keys of ``--cfg-options`` that no config of the command takes."""
    options = getattr(arguments, 'cfg_options', None) or {}
    if not isinstance(options, Mapping):
        options = dict(option.split('=', 1) for option in options)
        options = {k: DictAction._parse_iterable(v) for k, v in options.items()}
    given = getattr(arguments, 'configs', None) or [getattr(arguments, 'config', '')]
    configs = [load_config(REPO / path).to_dict() for path in given if options]
    return [k for k in options for cfg in configs if not _is_known(cfg, k.split('.'))]


def _is_known(at: Any, names: Sequence[str]) -> bool:
    first, *rest = names
    if isinstance(at, (list, tuple)):
        first = int(first)
        return first < len(at) and (not rest or _is_known(at[first], rest))
    if not isinstance(at, Mapping):
        return False
    if not rest:
        return first in at or first == 'type' or _takes(at.get('type'), first)
    # An entry that is not there yet may be made by its type.
    return _is_known(at.get(first, {}), rest)


def _takes(kind: str | None, name: str) -> bool:
    """Whether a model or a metric has a parameter of this name."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        names = (kind, f'mmdet.{kind}') if kind else ()
        found = [METRICS.get(name) or MODELS.get(name) for name in names]
    classes = [c for one in found if one for c in inspect.getmro(one)]
    return any(name in inspect.signature(c.__init__).parameters for c in classes)


def bases(document: str, lines: Sequence[str]) -> list[Path]:
    """Files that the ``_base_`` of a Python block names, the reader's own left out."""
    (text,) = re.findall(r'^_base_ = (\[.*?\]|\S+)', '\n'.join(lines), re.DOTALL) or [
        ''
    ]
    named = re.findall(r"'(.+?)'", text)
    folder = (REPO / document).parent
    ours = [REPO / 'configs' / n[10:] for n in named if n.startswith('mmdefect::')]
    near = [folder / n for n in named if n.startswith('.') and '/my_' not in n]
    return ours + near
