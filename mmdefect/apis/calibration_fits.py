"""Thresholds of labels, for a model that is trained already; what all fits share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from mmengine.config import Config

from mmdefect.apis.datasets import build_dataset, refuse_learned
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.deploy.outputs import LabelOutput, Output
from mmdefect.deploy.paths import images_below
from mmdefect.deploy.sources import open_frames
from mmdefect.engine.hooks.calibration import BUFFERS, CalibrationHook
from mmdefect.utils.checks import check_known, some_of
from mmdefect.utils.dumped_config import SCOPES, check_types
from mmdefect.utils.images import read_bgr


class Look(Protocol):
    """How images become outputs, one after the other."""

    def __call__(
        self, images: Iterable[np.ndarray], product: str | None = None
    ) -> Iterator[Output]:
        """Look at them; of maps the caller may know the product."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A choice that is not written yet.

    Attributes:
        note: What becomes ``meta['calibration']``.
        summary: What was chosen, a line.
        notes: What a user should know, one sentence each.
        buffers: What it sets in the weights, by name.
    """

    note: dict[str, Any]
    summary: str
    notes: list[str]
    buffers: Mapping[str, float] = field(default_factory=dict)


def validation_loader(cfg: Config) -> Any:
    """Settings of the validation images of a config.

    Raises:
        ValueError: It has none, or would build what no registry holds.
    """
    loader = cfg.get('val_dataloader')
    if loader is None:
        raise ValueError(
            'images=None: expected validation images, which this config does not name '
            '(a stream never does); give their folder'
        )
    check_types(loader.dataset, 'val_dataloader', (*SCOPES, 'mmcv', 'mmengine'))
    return loader


def fit_labels(
    backend: TorchBackend, look: Look, root: Path | None, *, costs: tuple[float, float]
) -> Fit:
    """Fit temperature and threshold, as the hook does after a training.

    Args:
        backend: The model.
        look: How it looks at images.
        root: Folder of folders named as classes; without it, the config's validation
            images.
        costs: What a miss costs and what a false alarm costs.

    Raises:
        ValueError: The head has nothing to set, a folder is no class, an image is
            one of the training, or one cannot be read.
    """
    spec = backend.spec
    if spec.defective is None:
        raise ValueError(
            f'{type(backend.model.head).__name__} has no temperature and no threshold '
            'to set: expected a model with a mmdefect.DefectClsHead; train one'
        )
    rows, labels, notes = (
        _validation_labels(backend, look)
        if root is None
        else _sorted_labels(backend, look, root)
    )
    # Up to a constant an image, these are the logits.
    temperature = float(backend.model.head.temperature)
    tiny = torch.finfo(torch.float32).tiny
    logits = torch.from_numpy(np.stack(rows)).clamp(min=tiny).log() * temperature
    told = _Told()
    hook = CalibrationHook(costs=costs, defective=spec.classes.index(spec.defective))
    fitted = hook.fit(logits, torch.tensor(labels), told)
    threshold = fitted.get('threshold')
    note: dict[str, Any] = {
        'task': 'labels',
        **fitted,
        'thresholds': {} if threshold is None else {spec.defective: threshold},
        'costs': list(costs),
        'images': len(labels),
    }
    summary = (
        f'threshold {threshold or math.nan:.3g} of {spec.defective}, temperature '
        f'{fitted["temperature"]:.3g}'
    )
    buffers = {f'head.{name}': fitted[name] for name in BUFFERS if name in fitted}
    return Fit(note=note, summary=summary, notes=notes + told.warnings, buffers=buffers)


def _sorted_labels(
    backend: TorchBackend, look: Look, root: Path
) -> tuple[list[np.ndarray], list[int], list[str]]:
    """Probabilities, labels and notes on images in folders of their classes."""
    rows: list[np.ndarray] = []
    labels: list[int] = []
    folders = class_folders(backend.spec.classes, root)
    notes = refuse_learned(backend.cfg, [*images_below(*folders.values())])
    bits = backend.spec.about.get('bits')
    for name, folder in folders.items():
        outputs = look(pictures(folder, bits))
        found = [cast(LabelOutput, output).probabilities for output in outputs]
        rows += found
        labels += [backend.spec.classes.index(name)] * len(found)
    return rows, labels, notes


def _validation_labels(
    backend: TorchBackend, look: Look
) -> tuple[list[np.ndarray], list[int], list[str]]:
    """The same of the validation images of the config."""
    loader = validation_loader(backend.cfg)
    dataset = build_dataset(backend.cfg, loader.dataset)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    notes = refuse_learned(backend.cfg, [Path(info['img_path']) for info in infos])
    bits = backend.spec.about.get('bits')
    outputs = look(read_bgr(info['img_path'], bits=bits) for info in infos)
    rows = [cast(LabelOutput, output).probabilities for output in outputs]
    return rows, [int(info['gt_label']) for info in infos], notes


class _Told:
    """Keeps what a logger would be told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def class_folders(known: Sequence[str], root: Path) -> dict[str, Path]:
    """Folders of images that are named as a class or product.

    Args:
        known: Classes; of a single one ``root`` may hold the images.
        root: Folder of these folders.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It holds no folder, or one that is no class.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f'there is no folder {root}: expected one of validation images; check the '
            'path'
        )
    folders = {
        path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith('.')
    }
    if len(known) == 1 and known[0] not in folders:
        folders = {known[0]: root}
    if not folders:
        raise ValueError(
            f'{root} holds no folder: expected one a class or product, named '
            f'{some_of(known)}; sort the images into them'
        )
    refuse_other_case(folders, known, what=str(root))
    check_known(folders, known, what=str(root))
    return folders


def refuse_other_case(names: Iterable[str], known: Sequence[str], *, what: str) -> None:
    """Refuse names that are a class of the model but for capital letters.

    Raises:
        ValueError: Naming both.
    """
    spelled = {name.casefold(): name for name in known}
    for name in names:
        other = spelled.get(name.casefold(), name)
        if name not in known and other != name:
            raise ValueError(
                f'{what} names {name!r}, the class of the model is {other!r}: expected '
                'the same letters, small or capital; rename it'
            )


def pictures(folder: Path, bits: int | None) -> Iterator[np.ndarray]:
    """All images of a folder.

    Raises:
        ValueError: One cannot be read.
    """
    for frame in open_frames(folder, bits=bits):
        if frame.image is None:
            raise ValueError(f'{frame.error}; a threshold needs all images')
        yield frame.image
