"""The end of every converter: print the summary, and write only what is sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from mmdefect.converters.coco import Report
from mmdefect.datasets.boxes.class_split import cooccurrence_table
from mmdefect.datasets.boxes.coco_file import save_json
from mmdefect.utils.checks import name_some


def finish(
    converted: Mapping[str, tuple[dict[str, Any], Report]],
    out: Path,
    *,
    steps: Sequence[Sequence[str]] | None = None,
    replaced: Sequence[Path] = (),
) -> int:
    """Print reports and the co-occurrence table of the first split, then write.

    Args:
        converted: Name of the split -> COCO dictionary and its report.
        out: Folder for ``<split>.json``.
        steps: Classes of each step, for the table; None for no table.
        replaced: Files that are removed before anything is written.

    Returns:
        The exit status: 1 when a report holds an error; nothing is written then.
    """
    for _, report in converted.values():
        print(report)
    if any(report.errors for _, report in converted.values()):
        print('Nothing written: see the errors above.')
        return 1
    if steps is not None:
        print(f'\n{cooccurrence_table(next(iter(converted.values()))[0], steps)}\n')
    for path in replaced:
        path.unlink()
    for name, (coco, _) in converted.items():
        save_json(coco, out / f'{name}.json')
        print(f'wrote {out / name}.json')
    return 0


def splits_in(out: Path, names: Iterable[str], *, overwrite: bool) -> list[Path]:
    """Splits that a folder holds already, to be replaced.

    Args:
        out: Folder that is written to.
        names: Splits that may be there.
        overwrite: Whether they may be replaced.

    Raises:
        FileExistsError: If there are some and they may not: beside a new one, an old
            split has images in common with it.
    """
    there = [path for name in names if (path := out / f'{name}.json').exists()]
    if there and not overwrite:
        found = name_some([path.name for path in there])
        raise FileExistsError(
            f'{out} holds splits already ({found}): expected none, as old and new ones '
            'share images; give another --out, or replace them with --overwrite'
        )
    return there


def differing_totals(
    found: Mapping[str, Any], real: Mapping[str, Any], *, title: str
) -> list[str]:
    """One sentence for each total that differs from the published set's."""
    return [
        f'{what}={found.get(what, 0)}: expected {number} as in the real {title}; get '
        'it again'
        for what, number in real.items()
        if found.get(what, 0) != number
    ]


def in_one_sentence(main: Callable[..., int]) -> Callable[..., int]:
    """Let the main function of a tool print an error and return 1, not raise it."""

    @wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv)
        except (OSError, ValueError) as error:
            if not (isinstance(error, OSError) and error.errno):
                print(f'ERROR: {error}\nNothing written: see the error above.')
                return 1
            print(
                f'ERROR: {error.filename or "a file"}: expected a place that can be '
                f'read and written ({error.strerror}); check its rights and the space '
                'left, or write elsewhere with --out'
            )
            return 1

    return run
