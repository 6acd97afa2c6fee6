"""Write down what was decided on an image: what ``predict`` and ``serve`` call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmdefect.deploy.formats import ANOMALY, shapes_of
from mmdefect.line.images import image_hash, suffix_of
from mmdefect.line.measure import brightness_and_sharpness
from mmdefect.line.queue import consider, detail_of, enqueue, has_room
from mmdefect.utils.checks import visible

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line

#: Regions or boxes of a row at most, the best: of a map there may be thousands.
MOST_BOXES = 100


class _NotWrittenError(Exception):
    """What could not be written, and why."""


class Recorder:
    """Writes the decisions of one version into a line's log.

    May be used from several threads.

    Args:
        line: That it belongs to.
        version: Of the model that decides, such as ``'v0001'``.

    Raises:
        ValueError: The model is no version of the line (None).
        FileNotFoundError: The line has no such version.

    Example:
        >>> recorder = Recorder(line, version=line.current())  # doctest: +SKIP
        >>> recorder.record(prediction, data=data)  # doctest: +SKIP
    """

    def __init__(self, line: Line, *, version: str | None) -> None:
        if version is None:
            raise ValueError(
                f'the model is no version of the line {line.folder}: expected one, or '
                'its decisions could not be told apart; promote its package first, '
                'with `mmdefect line promote`'
            )
        line.package(version)
        self.line = line
        self.version = version

    def record(
        self,
        prediction: Prediction,
        *,
        data: bytes | None = None,
        image: np.ndarray | None = None,
        source: str | None = None,
    ) -> str | None:
        """Write a decision down, keep its picture by the policy, fill the queue.

        Args:
            prediction: What was decided.
            data: The content of the image's file; None for frames and arrays.
            image: ``(H, W, 3)``, BGR, uint8; by default the prediction's own. None of
                an image that could not be read.
            source: What the image is called; by default as in the prediction.

        Returns:
            None, or what has to be said with the result: that it is served without a
            record, and why.

        Raises:
            OSError: It cannot be written, and the line's policy is to refuse.
        """
        image = prediction.image if image is None else image
        source = prediction.source if source is None else source
        name = image_hash(data, image)
        try:
            with self.line.images.busy(name):
                self._write(name, prediction, data, image, source)
        except _NotWrittenError as error:
            if self.line.settings.on_full_disk == 'serve':
                return f'served without a whole record: {error}'
            raise OSError(
                f'the decision on {visible(source)} is refused, as on_full_disk of '
                f'{self.line.folder} says: {error}'
            ) from error
        return None

    def _write(
        self,
        name: str | None,
        prediction: Prediction,
        data: bytes | None,
        image: np.ndarray | None,
        source: str,
    ) -> None:
        with _said('its row in the log is not written'):
            reason = self._reason(prediction, name)
        body = body_of(prediction, image)
        waits = reason is not None and has_room(self.line, name)
        if reason is not None:
            body['queued'] = reason
        missing, file = None, None
        if name is not None and (waits or self._is_kept(prediction)):
            file = _file_of(data, image)
            try:
                self._keep(name, *file)
            except _NotWrittenError as error:
                if self.line.settings.on_full_disk == 'refuse':
                    raise
                missing, body['picture'] = error, str(error)
        with _said('its row in the log is not written'):
            row = self.line.log.append(
                'decision',
                version=self.version,
                image=name,
                source=source,
                product=prediction.product,
                decision=prediction.decision,
                score=prediction.score,
                threshold=prediction.threshold,
                kinds=kinds_of(prediction),
                body=body,
            )
        if reason is not None and waits:
            with _said('its row is written, but it is not put into the queue'):
                detail = detail_of(prediction, self.line.settings.queue, reason)
                enqueue(self.line, row, reason, detail)
            if name is not None and file is not None and missing is None:
                self._keep(name, *file)  # another process may have removed it
        if missing is not None:
            raise missing

    def _is_kept(self, prediction: Prediction) -> bool:
        """Whether the policy keeps it; what waits in the queue is kept by any."""
        policy = self.line.settings.keep_images
        # What could not be read is no alarm: whoever sends files would fill the disk.
        alarm = prediction.error is None and prediction.decision != 'ok'
        return policy in ('all', 'newest') or (policy == 'alarms' and alarm)

    def _keep(self, name: str, data: bytes, suffix: str) -> None:
        with _said('its picture is not kept'):
            self.line.images.add(name, data, suffix=suffix)

    def _reason(self, prediction: Prediction, name: str | None) -> str | None:
        """Why it is put into the queue: not if it has a verdict."""
        reason = consider(prediction, self.line.settings.queue)
        if reason is None or name is None:
            return reason
        return None if self.line.log.count(kind='verdict', image=name) else reason


def _file_of(data: bytes | None, image: np.ndarray | None) -> tuple[bytes, str]:
    """Content and suffix of the file that is kept, of a frame a PNG."""
    if data is None:
        data = cv2.imencode('.png', np.asarray(image))[1].tobytes()
    return data, suffix_of(data)


@contextmanager
def _said(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise _NotWrittenError(f'{what} ({error})') from error


def kinds_of(prediction: Prediction) -> tuple[str, ...]:
    """Kinds of defects that were found; of a map there is one."""
    if prediction.task != 'maps':
        return prediction.kinds
    return (ANOMALY,) if prediction.decision == 'defective' else ()


def body_of(prediction: Prediction, image: np.ndarray | None) -> dict[str, Any]:
    """What a row holds beside its columns: plain data.

    Args:
        prediction: What was decided.
        image: ``(H, W, 3)``, BGR, uint8, for its brightness and sharpness.
    """
    body: dict[str, Any] = {
        'task': prediction.task,
        'size': [*prediction.size],
        'calibrated': prediction.calibrated,
    }
    if image is not None:
        if not all(prediction.size):  # the model has failed
            body['size'] = [image.shape[1], image.shape[0]]
        brightness, sharpness = brightness_and_sharpness(image)
        body['brightness'] = round(brightness, 2)
        body['sharpness'] = round(sharpness, 2)
    if prediction.error is not None:
        return {**body, 'error': prediction.error}
    if prediction.task == 'labels':
        body |= {'name': prediction.name, 'probability': prediction.probability}
    elif prediction.decision == 'defective':
        found = shapes_of(prediction)
        body['boxes'] = [
            {
                'box': [round(value, 2) for value in one.box],
                'name': one.name,
                'score': one.score,
            }
            for one in found[:MOST_BOXES]
        ]
        if len(found) > MOST_BOXES:
            body['boxes_left_out'] = len(found) - MOST_BOXES
    return body
