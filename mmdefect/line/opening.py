"""How everything of a line looks: as the package says, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer


def open_version(folder: Path, **settings: Any) -> DefectInferencer:
    """Open a package of a line: for decisions, exams and comparisons alike.

    Images are cut into the tiles in which its thresholds were chosen, and looked at
    whole if they were chosen so.

    Args:
        folder: Of the package.
        settings: Of :class:`~mmdefect.apis.inferencer.DefectInferencer` that change no
            decision, or the product.

    Raises:
        FileNotFoundError: There is no such package.
        ValueError: It cannot be opened.
    """
    from mmdefect.apis.inferencer import DefectInferencer

    return DefectInferencer(folder, tile='calibrated', **settings)


def refuse_other_looks(line: str | Path, *, tile: Any, bits: Any) -> None:
    """Refuse what would make the line decide otherwise than in its exams.

    Raises:
        ValueError: One of them is given.
    """
    if tile is not None:
        raise ValueError(
            f'--tile {tile}: expected none with --line {line}, which cuts images as '
            'the thresholds of its versions were chosen, in exams, too; calibrate with '
            f'--tile {tile}, export and promote that'
        )
    if bits is not None:
        raise ValueError(
            f'--bits {bits}: expected none with --line {line}, which reads images as '
            f'its versions say, in exams, too; train with bits={bits} in the datasets, '
            'export and promote that'
        )
