"""How a Runner's checkpoints reach the disk: whole, or not at all; or memory first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner import Runner

from mmdefect.utils.distributed import on_main_process
from mmdefect.utils.files import need_space
from mmdefect.utils.whole_checkpoint import publish

IN_MEMORY = 'mmdefect-in-memory'
"""Name of the file backend of :class:`InMemory`, as ``backend_args`` takes it."""


class RemoveLater:
    """A file backend that notes what is to be removed."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.outdated: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        """Note it."""
        self.outdated.append(str(path))


class InMemory(LocalBackend):
    """A file backend that keeps what is written."""

    content: ClassVar[dict[str, bytes]] = {}

    def put(self, obj: Any, filepath: str | Path) -> None:
        """Keep it until somebody takes it."""
        self.content[str(filepath)] = bytes(obj)


register_backend(IN_MEMORY, InMemory, force=True)


class InOnePiece:
    """A runner whose checkpoints have their names once they are written."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def save_checkpoint(self, out_dir: str, filename: str, **kwargs: Any) -> None:
        """Write it beside, then rename it."""
        path = Path(out_dir) / filename
        draft = path.with_name(f'{filename}.tmp')

        def write() -> None:
            self.runner.save_checkpoint(out_dir, draft.name, **kwargs)
            publish(draft, path)

        write_once(write, draft)


def write_once(write: Callable[[], None], draft: Path, *, size: int = 0) -> None:
    """Write on the main process; what fails there ends all of them.

    Args:
        write: Writes a draft and gives it its name.
        draft: Is gone after an error.
        size: Bytes that have to be free.

    Raises:
        OSError: Saying what to do.
        ValueError: What was read back is not what was written, or is not finite.
    """

    def attempt() -> None:
        cure = 'free some space, and continue with --resume'
        need_space(draft.parent, size, draft.stem, cure=cure)
        try:
            write()
        except (KeyboardInterrupt, ValueError):
            draft.unlink(missing_ok=True)
            raise
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f'{draft.with_suffix("")} was not saved ({error.strerror}): free some '
                'space, or make the folder writable, and continue with --resume',
            ) from None

    on_main_process(attempt)
