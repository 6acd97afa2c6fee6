"""Reading a config that was dumped into a work dir, without running it.

A work dir may come from anywhere, and a config file is a Python program. What
``Config.dump`` writes is plain: names that are given literals and ``dict(...)`` calls.
Only that is understood here, and nothing is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

SCOPES = ('mmdefect', 'mmpretrain', 'mmdet')


def read_dumped_config(path: str | Path) -> Config:
    """Read a config that MMEngine's ``Config.dump`` has written.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds more than names with literal values, or cannot be parsed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no config {path}: expected the one that a training has written '
            'into its work dir; put it back'
        )
    try:
        body = ast.parse(path.read_text(encoding='utf-8')).body
        return Config({_name(line): _value(line.value) for line in body})  # type: ignore[attr-defined]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f'{path} is no config as a training writes it ({reason}): expected names '
            'with plain values only, because the files of a work dir are not run; put '
            'the original back'
        ) from None


def _name(line: ast.stmt) -> str:
    if (
        not isinstance(line, ast.Assign)
        or len(line.targets) != 1
        or not isinstance(line.targets[0], ast.Name)
    ):
        raise ValueError(f'line {line.lineno} does not just name a value')
    return line.targets[0].id


def _value(node: ast.expr) -> Any:
    """Value of a literal or of ``dict(key=literal, ...)``, however deep."""
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) if key else _refuse(node) for key in node.keys]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Call):
        named = {word.arg: _value(word.value) for word in node.keywords if word.arg}
        plain = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        if not plain or len(named) != len(node.keywords) or len(node.args) > 1:
            _refuse(node)
        # A dict with odd keys is dumped as dict({'1': ...}).
        return {**(_value(node.args[0]) if node.args else {}), **named}
    return ast.literal_eval(node)


def _refuse(node: ast.expr) -> Any:
    raise ValueError(f'line {node.lineno} holds more than plain values')


def check_types(cfg: Any, path: str | Path, scopes: Sequence[str] = SCOPES) -> None:
    """Refuse a config that would build anything but what a registry holds.

    MMEngine takes a type that no registry knows for the path of any Python object,
    which it imports and calls.

    Args:
        scopes: What may stand before the name of a type.

    Raises:
        ValueError: Naming the type.
    """
    cfg = cfg.to_dict() if isinstance(cfg, Config) else cfg
    if isinstance(cfg, (list, tuple)):
        for item in cfg:
            check_types(item, path, scopes)
    if not isinstance(cfg, dict):
        return
    kind = cfg.get('type')
    if kind is not None:
        scope, dot, name = str(kind).rpartition('.')
        if not name.isidentifier() or (dot and scope not in scopes):
            raise ValueError(
                f'{path} builds {kind!r}: expected types of {", ".join(scopes)}, '
                'because what a work dir names is not imported; put the original back'
            )
    for value in cfg.values():
        check_types(value, path, scopes)
