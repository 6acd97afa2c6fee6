"""What is known of one image in the end: one type for all tasks, of NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmdefect.deploy.spec import Decision, Task

NOT_CALIBRATED = 'not calibrated'


def _none() -> np.ndarray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One image, what the model says of it, and what that means.

    Attributes:
        source: Path of the image, ``video.mp4#12``, ``camera 0#12`` or ``array 3``.
        task: ``'boxes'``, ``'maps'`` or ``'labels'``.
        size: Width and height of the original image; (0, 0) if it could not be read.
        decision: ``'ok'`` or ``'defective'``; ``'unknown product'`` of a model of
            maps that recognises products, and none of them; ``'undecided'`` without
            a threshold or with an error.
        calibrated: Whether the threshold was chosen on validation images; if not,
            every form of the result says ``not calibrated``.
        threshold: The one that decided: of the product (maps), of the defective class
            (labels), of the class of the box that decided (boxes).
        score: What was compared with it: of the image (maps), probability of the
            defective class (labels), of the box that decided (boxes): the one furthest
            above its threshold. None without boxes.
        boxes: ``(N, 4)`` float32, x1, y1, x2, y2 in pixels of the original image, all
            that the model puts out, the best first.
        scores: ``(N,)`` float32.
        labels: ``(N,)`` int64.
        names: Class of each box.
        thresholds: ``(N,)`` float32, of the class of each box.
        anomaly_map: ``(H, W)`` float32 at the size of the original image.
        label: Index of the class that was decided on (labels).
        name: Its name.
        probability: Its probability.
        probabilities: ``(C,)`` float32, of all classes.
        product: Of a model of maps, if it or the caller knows.
        evidence: Of maps: what good images say about false alarms at the threshold,
            such as ``59 good images certify 5 % at 95 %``.
        unrecorded: Why it is not written down whole in the log of its line; None if it
            is, or if there is no line.
        error: Why there is no result, in one sentence.
        image: The picture itself, ``(H, W, 3)``, BGR, uint8; None unless it was asked
            for.
        data: The content of its file, of which it was decoded; None unless it was asked
            for, and of frames and arrays.
    """

    source: str
    task: Task
    size: tuple[int, int] = (0, 0)
    decision: Decision = 'undecided'
    calibrated: bool = False
    threshold: float | None = None
    score: float | None = None
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=_none)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    names: tuple[str, ...] = ()
    thresholds: np.ndarray = field(default_factory=_none)
    anomaly_map: np.ndarray | None = None
    label: int | None = None
    name: str | None = None
    probability: float | None = None
    probabilities: np.ndarray | None = None
    product: str | None = None
    evidence: str | None = None
    unrecorded: str | None = None
    error: str | None = None
    image: np.ndarray | None = field(default=None, repr=False)
    data: bytes | None = field(default=None, repr=False)

    @property
    def is_defect(self) -> np.ndarray:
        """Which boxes meet the threshold of their class, ``(N,)`` bool."""
        return self.scores >= self.thresholds

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which kinds of defects were found, each once, the best first."""
        if self.task == 'labels':
            return (self.name,) if self.name and self.decision == 'defective' else ()
        found = zip(self.names, self.is_defect, strict=True)
        return tuple(dict.fromkeys(name for name, meets in found if meets))

    def __str__(self) -> str:
        """The result in one line, for a terminal."""
        from mmdefect.deploy.formats import in_a_line

        return in_a_line(self)

    def to_dict(self, *, everything: bool = False) -> dict[str, Any]:
        """Plain data that JSON can hold: numbers that are none become null.

        Without calibration there is ``note``, which says so; of a map, what good images
        say about false alarms. Of a map there are the largest value and the regions
        from the threshold on, not its pixels.

        Args:
            everything: Boxes below their threshold, and all probabilities, too.
        """
        from mmdefect.deploy.formats import to_dict

        return to_dict(self, everything=everything)

    def to_coco(
        self,
        *,
        image_id: int = 1,
        category_ids: Mapping[str, int] | None = None,
        everything: bool = False,
    ) -> list[dict[str, Any]]:
        """Detections as COCO's results have them; regions of a map with outlines.

        Args:
            image_id: Of the image; where several share a file, each has its own.
            category_ids: Of the classes; by default counted from 1, as our converters
                do. A region of a map is called ``anomaly``.
            everything: Boxes below their threshold, too: what average precision needs.

        Raises:
            ValueError: Of labels, of an error, or a class has no id.
        """
        from mmdefect.deploy.formats import to_coco

        return to_coco(
            self, image_id=image_id, category_ids=category_ids, everything=everything
        )

    def to_labelme(self, *, everything: bool = False) -> dict[str, Any]:
        """What LabelMe reads, to correct a result by hand.

        Rectangles of boxes; polygons of a map from its threshold on; a class as a flag.

        Args:
            everything: Boxes below their threshold, too.

        Raises:
            ValueError: Of an error.
        """
        from mmdefect.deploy.formats import to_labelme

        return to_labelme(self, everything=everything)

    def to_supervision(self, *, everything: bool = False) -> Any:
        """``supervision.Detections``: boxes, or regions of a map with masks.

        Args:
            everything: Boxes below their threshold, too.

        Raises:
            ImportError: The package is not installed.
            ValueError: Of labels, or of an error.
        """
        from mmdefect.deploy.formats import to_supervision

        return to_supervision(self, everything=everything)

    def draw(self, image: np.ndarray | None = None) -> np.ndarray:
        """A picture of the result; see :func:`mmdefect.deploy.drawing.draw`.

        Args:
            image: The picture, ``(H, W, 3)``, BGR, uint8; by default :attr:`image`, or
                the file it came from, read anew.

        Returns:
            BGR, uint8; small images are enlarged.

        Raises:
            ValueError: There is no picture, or it is of another size.
        """
        from mmdefect.deploy.drawing import draw

        return draw(self, self._picture(image))

    def save(
        self,
        folder: str | Path,
        image: np.ndarray | None = None,
        *,
        picture: bool = True,
        with_map: bool = False,
    ) -> Path:
        """Write ``<name>.json``, beside it ``<name>.jpg`` and ``<name>.npy``.

        The name ends in digits of the whole source: pictures of one name from several
        folders lie side by side, and a second run overwrites its own files. The JSON is
        written last.

        Args:
            folder: Made if need be.
            image: As for :meth:`draw`.
            picture: Whether to draw; an error has no picture.
            with_map: Whether to write the anomaly map, float32.

        Returns:
            The JSON file.

        Raises:
            OSError: The folder cannot be written.
            ValueError: As for :meth:`draw`.
        """
        from mmdefect.deploy.saving import save

        return save(self, Path(folder), image, picture=picture, with_map=with_map)

    def _picture(self, image: np.ndarray | None) -> np.ndarray:
        image = self.image if image is None else image
        if image is not None:
            return image
        if not Path(self.source).is_file():
            raise ValueError(
                f'image=None: expected the picture, {self.source!r} is no file; give '
                'it, or call the inferencer with keep_images=True'
            )
        from mmdefect.deploy.sources import read_image

        return read_image(self.source)
