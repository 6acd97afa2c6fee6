"""The models that a server has: opened, found by name, replaced while they work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mmdefect.deploy.backend import SHARED, Backend, told
from mmdefect.deploy.outputs import Output
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.record import Recorder
from mmdefect.serving.refusal import Refused, sentence_of
from mmdefect.utils.checks import repeated, some_of, visible

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line

Opener: TypeAlias = Callable[[Path], Backend]

#: Width and height of what a model is tried with that takes any size.
_TRIAL = (64, 64)


class PackageError(ValueError):
    """A package that does not open, or does not work on this machine."""


def name_packages(packages: Sequence[str | Path]) -> dict[str, Path]:
    """Names of packages: those of their folders.

    Raises:
        ValueError: There is none, or two have one name.
    """
    folders = [Path(package).resolve() for package in packages]
    if not folders:
        raise ValueError('packages=[]: expected one package or more; name its folder')
    if twice := repeated(folder.name for folder in folders):
        both = [str(folder) for folder in folders if folder.name == twice[0]]
        raise ValueError(
            f'packages={some_of(both)}: expected folders of different names, which are '
            f'those of the models; rename all but one'
        )
    return {folder.name: folder for folder in folders}


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A model that is open. Whoever computes with it holds it; then it is released.

    Attributes:
        recorder: Writes down what it decides, where it is a version of a line.
    """

    name: str
    backend: Backend
    opened: datetime
    lock: AbstractContextManager[Any] = field(default_factory=threading.Lock)
    recorder: Recorder | None = None

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self.backend.spec

    def look(self, image: np.ndarray, product: str | None = None) -> Output:
        """What it says of one image, from any thread.

        Args:
            image: ``(H, W, 3)``, BGR, uint8.
            product: Of a model of maps, where the client knows it.
        """
        with self.lock:
            return told(self.backend, product)([image])[0]

    def recorded(self, found: Prediction, data: bytes) -> Prediction:
        """Write down what was decided, if the model is of a line.

        Returns:
            The same, with a note where it is served without a record.

        Raises:
            OSError: It cannot be written down, and the line refuses it then.
        """
        if self.recorder is None:
            return found
        return replace(found, unrecorded=self.recorder.record(found, data=data))

    def describe(self) -> dict[str, Any]:
        """What a client may know of it: plain data."""
        spec = self.spec
        return {
            'name': self.name,
            'task': spec.task,
            'classes': list(spec.classes),
            'defective': spec.defective,
            'thresholds': dict(spec.thresholds),
            'default_threshold': spec.default_threshold,
            'calibrated': spec.calibrated,
            'alarms': {name: dict(alarm) for name, alarm in spec.alarms.items()},
            'backend': self.backend.name,
            'opened': self.opened.isoformat(timespec='seconds'),
            'about': dict(spec.about),
            **({'version': self.recorder.version} if self.recorder else {}),
        }


class Models:
    """All models of a server.

    Args:
        packages: Folders; a model has the name of its folder.
        open_model: Opens one.
        line: In place of packages: serves the version in use, by the name of the
            line's folder, and has its decisions written down.

    Raises:
        ValueError: Two have one name, or (PackageError) one does not open.
    """

    def __init__(
        self,
        packages: Sequence[str | Path],
        *,
        open_model: Opener,
        line: Line | None = None,
    ) -> None:
        self.line = line
        self._folders = name_packages(packages if line is None else [line.folder])
        self._open_model = open_model
        self._models = {name: self._open(name) for name in self._folders}

    @property
    def names(self) -> list[str]:
        """In the order in which they were given."""
        return list(self._folders)

    def all(self) -> list[Model]:
        """Those that serve now."""
        return list(self._models.values())

    def get(self, name: str | None) -> Model:
        """The model of a name, or the only one.

        Raises:
            Refused: There is none, or several and no name.
        """
        if name is None and len(self._models) == 1:
            return next(iter(self._models.values()))
        if name is None or name not in self._models:
            given = 'None' if name is None else f"'{visible(name)}'"
            raise Refused(
                422 if name is None else 404,
                'model',
                f'model={given}: expected one of {some_of(self.names, 20)}',
            )
        return self._models[name]

    def wanted(self) -> str | None:
        """The version that the line uses now, if another one serves; else None."""
        if self.line is None:
            return None
        serving = {one.recorder.version for one in self.all() if one.recorder}
        try:
            now = self.line.current()
        except (OSError, ValueError) as error:  # said when it is tried
            return sentence_of(error)
        return None if now in serving else now

    def reload(self, name: str) -> None:
        """Open a package again, and only then put it in the place of the old one.

        Of a line the model and what writes its decisions down are replaced together, or
        neither is. What is being looked at ends with the old ones, which are released
        after that.

        Raises:
            PackageError: It does not open; the old one goes on.
        """
        self._models[name] = self._open(name)

    def _open(self, name: str) -> Model:
        recorder = None
        try:
            folder = self._folders[name]
            if self.line is not None:
                folder = self.line.package()  # says that there is none yet
                recorder = Recorder(self.line, version=folder.name)
            backend = self._open_model(folder)
            backend([_trial(backend)])
        except Exception as error:  # whatever an engine raises on a bad graph
            raise PackageError(f'{visible(name)}: {sentence_of(error)}') from error
        return Model(
            name=name,
            backend=backend,
            opened=datetime.now(timezone.utc),
            lock=nullcontext() if backend.name in SHARED else threading.Lock(),
            recorder=recorder,
        )


def _trial(backend: Backend) -> np.ndarray:
    """A black image of a size that a model takes."""
    package: Any = getattr(backend, 'package', None)
    width, height = (package and package.input.size) or _TRIAL
    return np.zeros((height, width, 3), np.uint8)
