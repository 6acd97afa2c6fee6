"""Reading a config file, and building what it names; what is wrong in one sentence."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from mmdefect.utils.checks import brief, visible
from mmdefect.utils.text_files import read_text_file


def read_config(path: str | Path) -> Config:
    """Read a config file as MMEngine does.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: It imports what is not installed.
        ValueError: It is no config: naming the file, and the line of a syntax error.

    Example:
        >>> read_config('my_config.py').model.type  # doctest: +SKIP
        'GFL'
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'config {str(path)!r} does not exist: expected a config file such as '
            'those under configs/'
        )
    if Path(path).suffix in ('.pth', '.pt', '.ckpt'):
        raise ValueError(
            f'{path} is a file of weights: expected a config, or the work dir that '
            f'the weights lie in, {Path(path).parent}; give one of them, and the file '
            'as --weights'
        )
    _check_bases(Path(path), ())
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program, and raises what it likes
        kind = ImportError if isinstance(error, ImportError) else ValueError
        raise kind(
            f'{path} cannot be read as a config ({said(error)}): expected a config '
            'file such as those under configs/; correct it'
        ) from error
    if not len(cfg):
        raise ValueError(f'{path} is empty: expected settings, model=dict(...) first')
    if 'model' in cfg:
        check_model(cfg, path)
    return cfg


def check_model(cfg: Config, path: str | Path | None) -> None:
    """Refuse a config without a model.

    Raises:
        ValueError: Naming the file.
    """
    model = cfg.get('model')
    if not isinstance(model, Mapping):
        raise ValueError(
            f'{path or "the config"} has model={brief(model)}: expected '
            "model=dict(type='...'); correct it"
        )


def build_part(
    registry: Registry, part: Any, *, name: str, path: str | Path | None
) -> Any:
    """Build what a config describes.

    Args:
        registry: That knows its type.
        part: The description.
        name: Of the entry, for errors.
        path: Of the config; None without a file.

    Raises:
        ValueError: The type is unknown, or does not take what is given to it.
    """
    try:
        return registry.build(part)
    except (LookupError, TypeError, AttributeError, AssertionError) as error:
        kind = part.get('type') if isinstance(part, Mapping) else part
        raise ValueError(
            f'{path or "the config"} has {name}.type={brief(kind)}, which cannot be '
            f'built ({said(error)}): expected a known type and its settings; correct '
            'it'
        ) from error


def said(error: Exception) -> str:
    """Kind and first sentence of an error of somebody else, in one line."""
    # A KeyError is written with quotation marks otherwise.
    text = str(error.args[0] if isinstance(error, KeyError) else error)
    told = text.strip().partition('\n')[0].partition('. ')[0]
    return f'{type(error).__name__}: {visible(told)}' if told else type(error).__name__


def _check_bases(path: Path, above: tuple[Path, ...]) -> None:
    """Refuse syntax errors and files that inherit from themselves.

    MMEngine names neither; a ring of files it copies until it may call no deeper.
    """
    if path.suffix == '.py':
        _check_syntax(path)
    try:
        bases = [
            Path(Config._get_cfg_path(name, str(path))[0])
            for name in Config._get_base_files(str(path))
        ]
    except Exception:  # what only MMEngine can fill in, or has a sentence for
        return
    below = (*above, path.resolve())
    for base in bases:
        if base.resolve() in below:
            raise ValueError(
                f'{path} inherits from itself, its _base_ leads to {base.name}: '
                'expected files that end somewhere; correct _base_'
            )
        if base.is_file():
            _check_bases(base, below)


def _check_syntax(path: Path) -> None:
    text = read_text_file(path, 'config')
    try:
        ast.parse(text)
    except (SyntaxError, RecursionError, MemoryError) as error:
        line = getattr(error, 'lineno', None)
        where = f'{path}, line {line}' if line else str(path)
        raise ValueError(
            f'{where}: {getattr(error, "msg", type(error).__name__)}: expected Python; '
            'correct it'
        ) from None
