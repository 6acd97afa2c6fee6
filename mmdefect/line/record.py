"""Write down what was decided on an image: what ``predict`` and ``serve`` call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line


class Recorder:
    """Writes the decisions of one version into a line's log.

    May be used from several threads.

    Args:
        line: That it belongs to.
        version: Of the model that decides, such as ``'v0001'``.

    Raises:
        ValueError: The model is no version of the line (None).
    """

    def __init__(self, line: Line, *, version: str | None) -> None:
        raise NotImplementedError

    def record(
        self,
        prediction: Prediction,
        *,
        data: bytes | None = None,
        image: np.ndarray | None = None,
    ) -> str | None:
        """Write a decision down, keep its picture by the policy, fill the queue.

        Args:
            prediction: What was decided.
            data: The content of the image's file; None for frames and arrays.
            image: ``(H, W, 3)``, BGR, uint8; by default the prediction's own. None of
                an image that could not be read.

        Returns:
            None, or what has to be said with the result: that it is served without a
            record.

        Raises:
            OSError: It cannot be written, and the line's policy is to refuse.
        """
        raise NotImplementedError
