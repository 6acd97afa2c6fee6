"""Choose from which score on to call a defect, for a model that is trained already."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmdefect.apis.calibration_boxes import fit_boxes
from mmdefect.apis.calibration_fits import Fit, Look, fit_labels
from mmdefect.apis.calibration_maps import fit_maps
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.deploy.backend import Backend, told
from mmdefect.deploy.outputs import Output
from mmdefect.deploy.progress import Progress
from mmdefect.deploy.spec import Task
from mmdefect.deploy.tiling import TiledBackend
from mmdefect.engine.calibrated import (
    CALIBRATED,
    calibrated_checkpoint,
    check_costs,
    refuse_other_files,
    write_calibrated,
)
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.checks import check_range, some_of

_NEEDED: dict[Task, str] = {
    'boxes': 'boxes of a class that the model finds',
    'labels': 'defective and good images',
    'maps': 'good images that the model scores',
}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was chosen; ``str()`` says it to a user.

    Attributes:
        path: The checkpoint that was written.
        task: Of the model.
        thresholds: By class (boxes), of the defective class (labels), by product
            (maps).
        images: Number of images that were looked at.
        summary: What was chosen, a line.
        notes: What a user should know, one sentence each.
    """

    path: Path
    task: Task
    thresholds: Mapping[str, float]
    images: int
    summary: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f'{self.images} images: {self.summary}']
        lines += [f'  note: {note}' for note in self.notes]
        return '\n'.join([*lines, f'wrote {self.path}'])


def calibrate(
    model: str | Path,
    *,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    weights: str | Path | None = None,
    step: int | None = None,
    costs: Sequence[float] = (1.0, 1.0),
    false_alarm_rate: float = 0.05,
    confidence: float = 0.95,
    tile: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    device: str = 'auto',
    batch_size: int = 1,
    show_progress: bool = False,
) -> Calibration:
    """Choose thresholds on validation images and write ``calibrated.pth``.

    It holds the same weights, and what was chosen in ``meta['calibration']``; of a
    classifier the temperature and the threshold of its head, too. Nothing starts a
    training from it; predicting and exporting take it where it is.

    - Boxes: a threshold a class, the one at which misses and false alarms cost least;
      classes are matched by name.
    - Labels: temperature and threshold, as
      :class:`mmdefect.engine.hooks.calibration.CalibrationHook` does after a training.
    - Maps: an alarm a product, from good images: with ``confidence`` no more than
      ``false_alarm_rate`` of the good images to come raise one, whatever their scores
      are like (59 images certify 5 % at 95 %). With fewer the alarm is their quantile,
      marked as not certified.

    Args:
        model: Work dir of a training, or a config; as for
            :class:`mmdefect.apis.DefectInferencer`.
        images: Validation images, which neither training nor test has seen: training
            images are refused, by their content. Boxes: the folder that file names of
            ``annotations`` are relative to. Labels: a folder of folders named as
            classes. Maps: good images, a folder a product; of a model of one product
            directly. By default those of the config's ``val_dataloader``, of boxes
            and labels.
        annotations: Boxes only: a COCO file.
        weights: Of a config; by default what its training has left.
        step: Of a stream; by default the last that is trained.
        costs: Boxes and labels: what a miss costs and what a false alarm costs.
        false_alarm_rate: Maps: wanted share of good images with an alarm, at most.
        confidence: Maps: how sure that shall be.
        tile: ``dict(size=, overlap=)``, as the images will be looked at: scores of
            tiles are others than those of whole images.
        out: By default ``calibrated.pth`` beside the checkpoint, of a stream in the
            folder of the step. Another file that is there is not replaced.
        device: As for the inferencer.
        batch_size: How many images, or tiles, are looked at together.
        show_progress: Whether to count the images on stderr.

    Raises:
        FileExistsError: ``out`` is a file that no calibration has written.
        FileNotFoundError: A file or folder is not there.
        ValueError: A setting means nothing, a class is unknown, an image cannot be
            read, images are those of the test or of the training, or no threshold can
            be chosen from them. Nothing is written then.

    Example:
        >>> found = calibrate(
        ...     'work_dirs/my_stream', images='data/', annotations='val.json',
        ...     costs=(10, 1))  # doctest: +SKIP
        >>> found.thresholds  # doctest: +SKIP
        {'scratch': 0.31, 'dent': 0.44}
    """
    pair = check_costs(costs)
    for name, share in (
        ('false_alarm_rate', false_alarm_rate),
        ('confidence', confidence),
    ):
        check_range(name, share, 0, 1, open_low=True, open_high=True)
    check_range('batch_size', batch_size, 1)
    backend = TorchBackend(model, weights=weights, step=step, device=device)
    task = backend.spec.task
    _check_data(task, images, annotations)
    source = Path(backend.spec.about['checkpoint'])
    path = source.with_name(CALIBRATED) if out is None else Path(out)
    refuse_other_files(path)
    with Progress(None, shown=show_progress) as progress:
        look = _looking(backend, tile, batch_size, progress)
        root = None if images is None else Path(images)
        if task == 'boxes':
            file = None if annotations is None else Path(annotations)
            found = fit_boxes(backend, look, root, file, costs=pair)
        elif task == 'labels':
            found = fit_labels(backend, look, root, costs=pair)
        else:
            root = Path(str(images))
            found = fit_maps(
                backend, look, root, rate=false_alarm_rate, confidence=confidence
            )
    _check_chosen(task, found)
    _write(path, source, found, tile)
    return Calibration(
        path=path,
        task=task,
        thresholds=found.note['thresholds'],
        images=found.note['images'],
        summary=found.summary,
        notes=tuple(found.notes),
    )


def _check_data(
    task: Task, images: str | Path | None, annotations: str | Path | None
) -> None:
    """Refuse data that are not what the thresholds of a task are chosen on."""
    given = None if annotations is None else str(annotations)
    if task != 'boxes' and given is not None:
        raise ValueError(
            f'annotations={given!r}: expected none with a model of {task}; leave it out'
        )
    if task == 'boxes' and (given is None) != (images is None):
        raise ValueError(
            f'annotations={given!r}: expected a COCO file and the folder of its '
            'images; give both, or neither for the validation images of the config'
        )
    if task == 'maps' and images is None:
        raise ValueError(
            'images=None: expected a folder of good images that were not learned '
            'from; give it'
        )
    if given is not None and not Path(given).is_file():
        raise FileNotFoundError(
            f'there is no annotation file {given}: expected a COCO file of validation '
            'images; check the path'
        )


def _looking(
    backend: TorchBackend,
    tile: Mapping[str, Any] | None,
    batch_size: int,
    progress: Progress,
) -> Look:
    """How images are looked at one after the other, in batches."""
    tiled: Backend = backend
    if tile is not None:
        tiled = TiledBackend(backend, **tile, batch_size=batch_size)

    def look(
        images: Iterable[np.ndarray], product: str | None = None
    ) -> Iterator[Output]:
        looking = told(tiled, product)
        batch: list[np.ndarray] = []
        for image in images:
            batch.append(image)
            progress.step()
            if len(batch) == batch_size:
                yield from looking(batch)
                batch = []
        if batch:
            yield from looking(batch)

    return look


def _check_chosen(task: Task, found: Fit) -> None:
    """Refuse to write a calibration that has chosen nothing."""
    chosen = found.note['thresholds']
    wrong = [name for name, value in chosen.items() if not math.isfinite(value)]
    if chosen and not wrong:
        return
    notes = [f'the scores of {some_of(wrong)} are no numbers'] if wrong else found.notes
    raise ValueError(
        f'no threshold can be chosen from these {found.note["images"]} images '
        f'({"; ".join(notes)}): expected {_NEEDED[task]}, nothing is written; give '
        'other images'
    )


def _write(
    path: Path, source: Path, found: Fit, tile: Mapping[str, Any] | None
) -> None:
    """Write the weights with what was chosen."""
    checkpoint = load_weights(source)
    state = state_dict_of(checkpoint, source)
    for name, value in found.buffers.items():
        state[name] = torch.full_like(state[name], value)
    note = {**found.note, 'checkpoint': source.name}
    if source.name == CALIBRATED:  # chosen once more: of which weights does not change
        before = (checkpoint.get('meta') or {}).get('calibration') or {}
        note['checkpoint'] = before.get('checkpoint', source.name)
    if tile is not None:
        note['tile'] = dict(tile)
    write_calibrated(path, calibrated_checkpoint(checkpoint, state, note))
