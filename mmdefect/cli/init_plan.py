"""What ``mmdefect init`` has decided, and writing it."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.converters.image_folder import check_text
from mmdefect.utils.files import new_folder, refuse_full, write_text
from mmdefect.utils.weights import how_to_make

WEIGHTS = Path('data/weights')
"""Folder of pretrained weights, below the one where training is started."""
MOBILENET = WEIGHTS / 'mobilenet_v2-in1k-mmpretrain.pth'
"""Of classifiers and of models of maps."""
LONGER = ', which needs far more images and time'


@dataclass
class Plan:
    """What was found and what is to be written.

    Args:
        out: The config.
        force: Whether what is there is replaced.
        config: Its text.
        files: Name -> text of what goes to the folder beside it.
        found: What was found, in lines.
        warnings: What is suspicious, one sentence each.
        errors: Why nothing can be written.
    """

    out: Path
    force: bool = False
    config: str = ''
    files: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        """Folder of what was converted."""
        return data_folder(self.out)

    def said(self) -> list[str]:
        """What was found, in lines to print."""
        warnings = [f'WARNING: {text}' for text in self.warnings]
        return [*self.found, *warnings, *(f'ERROR: {text}' for text in self.errors)]

    def write(self) -> list[str]:
        """Write everything, the config last.

        Returns:
            Lines that say what was written, and what to do next.

        Raises:
            OSError: If it cannot be written.
        """
        self._remove_old()
        if self.files:
            self._write_files()
        write_text(self.out, self.config)
        lines = [f'wrote {self.data / name}' for name in self.files]
        return [
            *lines,
            f'wrote {self.out}',
            f'Next: mmdefect train {self.out}',
            f'or, in a checkout: tools/dist_train.sh {self.out} 1',
        ]

    def _remove_old(self) -> None:
        """Remove lists of an earlier run: with other splits they share images."""
        for subset in ('train', 'val', 'test'):
            for suffix in ('json', 'jsonl', 'txt'):
                (self.data / f'{subset}.{suffix}').unlink(missing_ok=True)

    def _write_files(self) -> None:
        if self.force and self.data.is_dir():
            for name, text in self.files.items():
                write_text(self.data / name, text)
            return
        with new_folder(self.data) as part:
            for name, text in self.files.items():
                write_text(part / name, text)


def data_folder(out: Path) -> Path:
    """Where what is converted for a config goes."""
    return out.with_name(f'{out.stem}_data')


def check_target(out: Path, *sources: Path, force: bool) -> None:
    """Refuse what must not be written to, before minutes of work.

    Raises:
        FileExistsError: If the config or its folder of data is there already, or that
            folder holds one of the sources.
        ValueError: If it is no name of a config, or no text.
    """
    check_text([str(out)])
    if out.suffix != '.py':
        raise ValueError(
            f'--out {out}: expected the name of a config, such as my_line.py; give one'
        )
    if out.is_dir() or (out.exists() and not force):
        raise FileExistsError(
            f'--out {out}: there is something of this name already; give another name, '
            'or replace it with --force'
        )
    own = data_folder(out)
    if any(path.resolve().is_relative_to(own.resolve()) for path in sources):
        raise FileExistsError(
            f'--out {out}: lists go to {own}, which holds what is read: expected '
            'another folder; give another name'
        )
    if not force:
        refuse_full(own)


def noted(text: str) -> str:
    """A comment of a config."""
    return '\n'.join(f'# {line}' for line in textwrap.wrap(text, 86))


def random_backbone(what: str) -> str:
    """Part of a config whose backbone starts from random weights, and why."""
    why = (
        f'{what}, as {MOBILENET.as_posix()} was not there; with the file, leave this '
        'line out.'
    )
    return f'\n{noted(why)}\nmodel = dict(backbone=dict(init_cfg=None))'


def literal(path: Path | str) -> str:
    """A path as Python text, with slashes."""
    return repr(Path(path).as_posix())


def names_literal(names: Sequence[str]) -> str:
    """Names as a Python list over as many lines as it takes."""
    text = ', '.join(map(repr, names))
    if len(text) < 70:
        return f'[{text}]'
    return '\n'.join(['[', *(f'    {name!r},' for name in names), ']'])


def file_text(content: Mapping[str, Any]) -> str:
    """JSON on one line, as converters write it."""
    return json.dumps(content, separators=(',', ':'), allow_nan=False)


def relative(path: Path, folder: Path) -> str:
    """A path as seen from a folder."""
    return Path(os.path.relpath(path, folder)).as_posix()


def has_gpu() -> bool:
    """Whether PyTorch sees a GPU that it can use."""
    import torch

    return bool(torch.cuda.is_available())


def weights_note(path: Path, effect: str = LONGER) -> str | None:
    """What to do about pretrained weights that are not there; None if they are.

    Args:
        path: The file.
        effect: What random ones do instead.
    """
    if path.is_file():
        return None
    how = how_to_make(path) or f'put the file at {path}'
    return (
        f'there are no pretrained weights at {path}, so the config starts from random '
        f'ones{effect}: {how}, and run init again with --force'
    )
