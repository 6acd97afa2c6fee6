"""Pictures that are kept beside their decisions, and which go when room is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class ImageStore:
    """Pictures by their hash, as ``images/ab/abcd....jpg``.

    Args:
        folder: Where they lie.
        keep_bytes: How many bytes of them are kept, the newest; None for no limit.
        is_needed: Whether a picture, by its hash, must stay whatever its age.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_bytes: int | None = None,
        is_needed: Callable[[str], bool] = lambda image: False,
    ) -> None:
        self.folder = folder
        self.keep_bytes = keep_bytes
        self._is_needed = is_needed

    def add(self, image: str, data: bytes, *, suffix: str) -> Path:
        """Keep a picture; one that is there becomes the newest.

        Args:
            image: Its hash, as in the log.
            data: The content of its file.
            suffix: Such as ``'.jpg'``.

        Raises:
            OSError: It cannot be written.
        """
        raise NotImplementedError

    def find(self, image: str) -> Path | None:
        """Where a picture lies, by its hash; None if it is not kept."""
        raise NotImplementedError
