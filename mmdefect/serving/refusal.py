"""How a request is refused: a status, a reason for the metrics, one sentence."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818
    """A request, or one image of it, that gets no result.

    Args:
        status: Of HTTP.
        reason: One word, for the metrics.
        sentence: What was expected, and what to do.
        headers: Of the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        sentence: str,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        self.sentence = sentence
        self.headers = headers or {}


def sentence_of(error: BaseException) -> str:
    """The first line of what an exception says, or its name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__
