"""What a person has to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdefect.line.settings import QueueRule

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row


def consider(prediction: Prediction, rule: QueueRule) -> str | None:
    """Why a person has to look at a result, e.g. ``'unknown product'``; None if not."""
    return None


def enqueue(line: Line, row: Row, reason: str) -> None:
    """Put the image of a decision into ``queue/``, once however often it is seen.

    Its picture is kept already. Entries are called ``<image>.json``, with ``-`` for the
    colon of ``pixels:``; see :meth:`mmdefect.line.folder.Line.is_queued`.
    """
