"""Any model of ours on tomorrow's pictures: decisions, not raw scores."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import numpy as np

from mmdefect.deploy.ahead import read_ahead
from mmdefect.deploy.backend import SHARED, Backend, told
from mmdefect.deploy.decision import decide, failed
from mmdefect.deploy.outputs import Output
from mmdefect.deploy.package import FILE, is_package
from mmdefect.deploy.progress import Progress
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.sources import (
    Frame,
    Inputs,
    count_frames,
    open_frames,
)
from mmdefect.deploy.tiling import TiledBackend, calibrated_tile, spec_in_tiles
from mmdefect.utils.checks import check_choice, check_number, check_type

if TYPE_CHECKING:
    from mmengine.config import Config

T = TypeVar('T')
Outcome: TypeAlias = Output | Exception | None
"""What a model says of a frame, why it cannot, or None without a picture."""
BACKENDS = ('auto', 'torch', 'onnxruntime', 'openvino')
MOST_FAILURES = 16
"""A model that fails alike on as many images and on no other: it is none of them."""


class DefectInferencer:
    """Looks at pictures with a trained model or a package, and decides on each.

    Args:
        model: The work dir of a stream, of a plain training or of a pruning; a config
            with ``weights``; or a package that ``mmdefect export`` has written, which
            needs neither torch nor OpenMMLab.
        weights: File of the weights; by default what the work dir has left.
        step: Of a stream; by default the last that is trained.
        device: ``'auto'`` (a GPU if there is one), ``'cpu'``, ``'cuda:1'`` ...
        backend: Of a package: ``'auto'``, ``'onnxruntime'`` or ``'openvino'``; all
            others are computed by ``'torch'``.
        batch_size: Pictures that the model looks at together.
        tile: ``dict(size=, overlap=)`` in pixels: large pictures are cut into
            overlapping tiles and their results merged. None looks at whole ones,
            ``'calibrated'`` as the thresholds of the model were chosen.
        threshold: From which score on a defect is called one, in place of what was
            calibrated: one number, or a number a class (or product).
        product: Of a model of maps: which product all pictures show; a model that
            recognises products then takes it from the caller.
        bits: How many of its 16 bits a 16-bit image uses; by default what the config's
            dataset says.

    Attributes:
        spec: What is known about the model, with the thresholds in use.
        backend: What computes.

    Raises:
        FileNotFoundError: There is no such model or file of weights.
        ValueError: A setting means nothing, or does not belong to this model.

    Example:
        >>> inspect = DefectInferencer('work_dirs/my_stream')  # doctest: +SKIP
        >>> for result in inspect('photos'):  # doctest: +SKIP
        ...     print(result.decision, result.kinds, result.boxes[result.is_defect])
        ...     result.save('inspected')
    """

    def __init__(
        self,
        model: Config | str | Path,
        *,
        weights: str | Path | None = None,
        step: int | None = None,
        device: str = 'auto',
        backend: str = 'auto',
        batch_size: int = 1,
        tile: Mapping[str, Any] | Literal['calibrated'] | None = None,
        threshold: float | Mapping[str, float] | None = None,
        product: str | None = None,
        bits: int | None = None,
    ) -> None:
        check_choice('backend', backend, BACKENDS)
        check_type('device', device, str, expected='a name such as auto or cpu')
        check_number('batch_size', batch_size, 1, whole=True)
        _check_model(model, weights)
        if step is not None:
            check_number('step', step, 0, whole=True)
        if product is not None:
            check_type('product', product, str, expected='a name')
        if tile is not None and tile != 'calibrated':
            _check_tile(tile)
        self.backend = open_backend(
            model, weights=weights, step=step, device=device, backend=backend
        )
        spec = spec_in_tiles(self.backend.spec, None)
        cut = calibrated_tile(self.backend.spec) if tile == 'calibrated' else tile
        if cut is not None:
            self.backend = TiledBackend(self.backend, batch_size=batch_size, **cut)
            spec = self.backend.spec
        if product is not None:
            spec.check_product(product)
        self.backend = told(self.backend, product)
        self.spec = spec if threshold is None else spec.with_threshold(threshold)
        self.batch_size = batch_size
        self.product = product
        self.bits = self.spec.about.get('bits') if bits is None else bits
        if self.bits is not None:
            check_number('bits', self.bits, 8, 16, whole=True)

    def __call__(
        self,
        inputs: Inputs,
        *,
        show_progress: bool | None = None,
        keep_images: bool = False,
        keep_files: bool = False,
    ) -> Iterator[Prediction]:
        """Look at pictures, as results are asked for.

        Args:
            inputs: A path, a folder (with those in it), a glob, a video, an array
                ``(H, W, 3)`` in BGR or ``(H, W)`` of uint8, the index of a camera, or
                an iterable of these, which is consumed a few pictures ahead.
            show_progress: A line on stderr; by default where that is a terminal.
            keep_images: Whether results hold their pictures, to draw frames of a video
                or arrays.
            keep_files: Whether results hold the content of their files, as decoded:
                the file itself may be another by then.

        Returns:
            One result a picture, in order, whatever was wrong with it: ask ``.error``.

        Raises:
            FileNotFoundError: There is no such path. This and what else is wrong with
                ``inputs`` as such is raised here, before anything is computed; see
                :func:`mmdefect.deploy.sources.open_frames`.
            RuntimeError: While iterating: the model fails on each of the first pictures
                in the same way. Once it has looked at one, a failure is a result with
                ``error``.
        """
        frames = open_frames(inputs, bits=self.bits)
        shown = sys.stderr.isatty() if show_progress is None else show_progress
        total = count_frames(inputs) if shown else None
        progress = Progress(total, shown=shown)
        return self._run(frames, progress, keep_images, keep_files)

    def predict_one(self, image: np.ndarray | str | Path) -> Prediction:
        """Look at one picture: an array or a file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is more than one picture, or an array that is none.
        """
        found = [*islice(self(image, show_progress=False, keep_images=True), 2)]
        if len(found) != 1:
            raise ValueError(
                f'image={image!r}: expected one picture; call the inferencer itself '
                'for several'
            )
        return found[0]

    def _run(
        self,
        frames: Iterator[Frame],
        progress: Progress,
        keep_images: bool,
        keep_files: bool,
    ) -> Iterator[Prediction]:
        failures = _Failures()
        waiting = read_ahead(frames, size=max(2, self.batch_size))
        with closing(self._outcomes(waiting)) as outcomes, progress:
            for batch, found in outcomes:
                for frame, outcome in zip(batch, found, strict=True):
                    failures.see(frame, outcome)
                    progress.step()
                    result = self._result(frame, outcome, keep_images)
                    yield replace(result, data=frame.data) if keep_files else result

    def _outcomes(
        self, frames: Generator[Frame, None, None]
    ) -> Generator[tuple[list[Frame], list[Outcome]], None, None]:
        """Frames in batches, and what the model says of each.

        A runtime looks at two batches at once: while it computes one, the next is
        prepared and the boxes of the last one are suppressed.
        """
        if getattr(self.backend, 'name', None) not in SHARED:
            yield from self._batches(frames, self._looked_at)
            return
        with ThreadPoolExecutor(2, 'look') as pool:
            begun = self._batches(frames, lambda b: pool.submit(self._looked_at, b))
            # In a thread of its own: no result waits for the picture after it.
            with closing(read_ahead(begun, size=1)) as jobs:
                for batch, job in jobs:
                    yield batch, job.result()

    def _batches(
        self, frames: Generator[Frame, None, None], look: Callable[[list[Frame]], T]
    ) -> Generator[tuple[list[Frame], T], None, None]:
        with closing(frames):
            while batch := [*islice(frames, self.batch_size)]:
                yield batch, look(batch)

    def _looked_at(self, batch: Sequence[Frame]) -> list[Outcome]:
        """What the model says of each frame; None of those without a picture."""
        images = [frame.image for frame in batch if frame.image is not None]
        outputs = iter(self._outputs(images))
        return [None if frame.image is None else next(outputs) for frame in batch]

    def _outputs(self, images: list[np.ndarray]) -> list[Output | Exception]:
        """Of each image an output, or why the model could not look at it."""
        if not images:
            return []
        try:
            return list(self.backend(images))
        except Exception as error:
            if len(images) == 1:
                return [error]
        # Which one is it? The others are none the worse for it.
        return [found for image in images for found in self._outputs([image])]

    def _result(self, frame: Frame, outcome: Outcome, keep_image: bool) -> Prediction:
        image = frame.image
        if image is None or outcome is None:
            return failed(str(frame.error), self.spec, source=frame.source)
        if isinstance(outcome, Exception):
            height, width = image.shape[:2]
            error = (
                f'the model cannot look at {frame.source} of {width}x{height} pixels '
                f'({_named(outcome)}): expected a picture like those of the training'
            )
            return failed(error, self.spec, source=frame.source)
        found = decide(
            outcome,
            self.spec,
            source=frame.source,
            size=(image.shape[1], image.shape[0]),
            product=self.product,
        )
        return replace(found, image=image) if keep_image else found


class _Failures:
    """Tells a model that can look at nothing from pictures that it cannot look at."""

    def __init__(self) -> None:
        self.kinds: Counter[type[Exception]] = Counter()
        self.works = False

    def see(self, frame: Frame, outcome: Outcome) -> None:
        """Raise RuntimeError if the model has only ever failed, and always alike."""
        if not isinstance(outcome, Exception):
            self.works = self.works or outcome is not None
        elif not self.works:
            self.kinds[type(outcome)] += 1
            if [*self.kinds.values()] == [MOST_FAILURES]:
                raise RuntimeError(
                    f'the model fails on the first {MOST_FAILURES} pictures, the last '
                    f'{frame.source}: {_named(outcome)}'
                ) from outcome


def _named(error: Exception) -> str:
    """An exception in one line."""
    said = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {said[0]}'


def open_backend(
    model: Config | str | Path,
    *,
    weights: str | Path | None = None,
    step: int | None = None,
    device: str = 'auto',
    backend: str = 'auto',
) -> Backend:
    """Open a package, or a trained model; see :class:`DefectInferencer`.

    Example:
        >>> open_backend('my_package', backend='onnxruntime')  # doctest: +SKIP
    """
    if isinstance(model, str | Path) and is_package(model):
        given = {'weights': weights, 'step': step}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f'{name}={value}: expected none with the package {model}, which '
                    'has its own; leave it out'
                )
        if backend == 'torch':
            raise ValueError(
                f"backend='torch': expected onnxruntime or openvino for the package "
                f'{model}; or give the work dir that it was exported from'
            )
        from mmdefect.deploy.runtime import open_package

        return open_package(Path(str(model)), backend=backend, device=device)
    if backend not in ('auto', 'torch'):
        raise ValueError(
            f'backend={backend!r}: expected torch for {model}, which is no package '
            f'({FILE} is not there); run `mmdefect export` first'
        )
    from mmdefect.apis.torch_backend import TorchBackend

    return TorchBackend(model, weights=weights, step=step, device=device)


def _check_model(model: Any, weights: Any) -> None:
    # By name: without OpenMMLab there is no such class.
    if 'Config' not in {kind.__name__ for kind in type(model).__mro__}:
        check_type('model', model, str | Path, expected='a path or a Config')
    if weights is not None:
        check_type('weights', weights, str | Path, expected='a path')


def _check_tile(tile: Any) -> None:
    keys = set(tile) if isinstance(tile, Mapping) else set()
    if 'size' not in keys or keys - {'size', 'overlap'}:
        raise ValueError(
            f'tile={tile!r}: expected dict(size=..., overlap=...) in pixels; correct it'
        )
