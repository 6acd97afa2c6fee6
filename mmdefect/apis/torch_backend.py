"""A trained model in its own framework, behind the interface of all backends."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmdefect.apis.alarms import above, own_alarms
from mmdefect.apis.array_pipeline import ArrayPipeline
from mmdefect.apis.models import built
from mmdefect.apis.trained import Trained, dataset_of, find_trained
from mmdefect.deploy.backend import equal_shapes
from mmdefect.deploy.outputs import (
    BoxOutput,
    LabelOutput,
    MapOutput,
    Output,
    recognised,
)
from mmdefect.deploy.postprocess import finish_map
from mmdefect.deploy.spec import BOX_THRESHOLD, ModelSpec, Task
from mmdefect.utils.checkpoint import checkpoint_classes
from mmdefect.utils.checks import brief
from mmdefect.utils.config import dataset_classes
from mmdefect.utils.console import quiet_console
from mmdefect.utils.files import file_sha256

if TYPE_CHECKING:
    from mmengine.config import Config

CALIBRATION = 'calibration'
"""Entry of a checkpoint's meta: thresholds, and what they were chosen on."""
_HEADS = re.compile(r'(.+\.)?(bbox_head|rpn_head)(\.\d+)?')


class TorchBackend:
    """A :class:`~mmdefect.deploy.backend.Backend` of any model that is trained here.

    Images go through the test pipeline of the config. Those of a batch that come out of
    it with different shapes are looked at in turn, so that no image is padded to the
    size of another, and an answer does not depend on its neighbours.

    Args:
        model: A work dir, a config or the file of one; see
            :func:`mmdefect.apis.trained.find_trained`.
        weights: File of the weights; by default what the work dir has, calibrated where
            it is.
        step: Of a stream; by default the last that is trained.
        device: ``'auto'`` (a GPU if there is one), ``'cpu'``, ``'cuda:1'`` ...

    Raises:
        FileNotFoundError: There is no such config, work dir or checkpoint.
        ValueError: No such device; weights and config do not belong together; or
            neither says which classes there are.

    Example:
        >>> backend = TorchBackend('work_dirs/my_stream')  # doctest: +SKIP
        >>> backend([image])[0].boxes  # doctest: +SKIP
    """

    name = 'torch'

    def __init__(
        self,
        model: Config | str | Path,
        *,
        weights: str | Path | None = None,
        step: int | None = None,
        device: str = 'auto',
    ) -> None:
        self.device = chosen_device(device)
        quiet_console()
        found = find_trained(model, weights, step=step, calibrated=True)
        self.cfg = found.cfg
        self.model, checkpoint = built(found)
        self.model.to(self.device).eval()
        parts = self.model.named_modules()
        self._heads = [part for name, part in parts if _HEADS.fullmatch(name)]
        self.spec = spec_of(self.model, found, checkpoint)
        self.pipeline = ArrayPipeline(found.cfg)
        self._told: int | None = None

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        """Look at a batch; see :class:`~mmdefect.deploy.backend.Backend`."""
        items = [self.pipeline(image) for image in images]
        found: dict[int, Output] = {}
        for group in equal_shapes(item['inputs'].shape for item in items):
            samples = self._predict([items[number] for number in group])
            for number, sample in zip(group, samples, strict=True):
                found[number] = self._output(sample, images[number].shape[:2])
        return [found[number] for number in range(len(items))]

    def told(self, product: str) -> TorchBackend:
        """The same model, which need not recognise the product."""
        other = copy.copy(self)
        other._told = self.spec.classes.index(product)
        return other

    @torch.inference_mode()
    def _predict(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        batch = {
            'inputs': [item['inputs'] for item in items],
            'data_samples': [item['data_samples'] for item in items],
        }
        if self._told is not None:
            for sample in batch['data_samples']:
                sample.set_metainfo({'told_product': self._told})
        data = self.model.data_preprocessor(batch, False)
        with _watched(self._heads):
            return self.model(data['inputs'], data['data_samples'], mode='predict')

    def _output(self, sample: Any, size: tuple[int, int]) -> Output:
        if self.spec.task == 'boxes':
            return _boxes(sample.pred_instances)
        if self.spec.task == 'labels':
            return LabelOutput(probabilities=_numbers(sample.pred_score))
        return MapOutput(
            anomaly_map=finish_map(_numbers(sample.pred_map), (size[1], size[0])),
            score=float(sample.pred_score),
            **self._product(sample),
        )

    def _product(self, sample: Any) -> dict[str, Any]:
        """Which product it is: told, recognised, or the only one."""
        if 'pred_product' in sample:
            return recognised(int(sample.pred_product), self.spec)
        return {'product': self.spec.only_class}


@contextmanager
def _watched(heads: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Refuse NaN of a detector's heads: their suppression drops it like a low score.

    Not all the time: an export could not trace it.
    """
    handles = [head.register_forward_hook(_refuse_nan) for head in heads]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _refuse_nan(head: Any, given: Any, found: Any) -> None:
    if isinstance(found, list | tuple):
        for part in found:
            _refuse_nan(head, given, part)
    elif isinstance(found, torch.Tensor) and found.isnan().any():
        raise ValueError(
            'the head of the model gives NaN: expected numbers; check its weights, '
            'mean and std'
        )


def _numbers(values: torch.Tensor) -> np.ndarray:
    return values.float().cpu().numpy()


def _boxes(found: Any) -> BoxOutput:
    scores = _numbers(found.scores)
    order = np.argsort(-scores, kind='stable')
    return BoxOutput(
        boxes=_numbers(found.bboxes).reshape(-1, 4)[order],
        scores=scores[order],
        labels=found.labels.cpu().numpy().astype(np.int64)[order],
    )


def chosen_device(device: str) -> torch.device:
    """The device of a name; ``'auto'`` is a GPU if there is one.

    Raises:
        ValueError: This machine has none of that name.

    Example:
        >>> chosen_device('cpu')
        device(type='cpu')
    """
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    more = torch.accelerator.current_accelerator(check_available=True)
    kinds = {'cpu', 'cuda', *([more.type] if more else [])}
    try:
        found = torch.device(device)
        if found.type not in kinds:  # such as meta, on which nothing is computed
            raise ValueError(found.type)
        torch.empty(1, device=found)
    except Exception as error:  # of each kind of device another
        known = ['cpu', *(f'cuda:{k}' for k in range(torch.cuda.device_count()))]
        raise ValueError(
            f'device={device!r}: expected one of this machine '
            f'({", ".join(known)}), or auto; choose one'
        ) from error
    return found


def task_of(model: Any) -> Task:
    """Whether a model puts out boxes, maps or labels, by what it inherits from.

    Raises:
        ValueError: Nothing of that.

    Example:
        >>> task_of(torch.nn.Linear(1, 1))
        Traceback (most recent call last):
        ValueError: model.type='Linear': expected a detector, a classifier or ...
    """
    # By name: neither package is imported for a model of the other.
    names = {kind.__name__ for kind in type(model).__mro__}
    if 'BaseDetector' in names:
        return 'boxes'
    if 'BaseClassifier' in names:
        return 'labels'
    scored = hasattr(model, 'score') or hasattr(model, 'alarms')
    if hasattr(model, 'features') and scored:
        return 'maps'
    raise ValueError(
        f'model.type={type(model).__name__!r}: expected a detector, a classifier or a '
        'model of anomaly maps; use a config of one'
    )


def spec_of(model: Any, found: Trained, checkpoint: Mapping[str, Any]) -> ModelSpec:
    """What is known about a model: its classes, its thresholds, where it comes from.

    Args:
        model: It, with its weights.
        found: Where config and weights are.
        checkpoint: All that the file of the weights holds.

    Raises:
        ValueError: Classes are not named, or are not as many as the model's.

    Example:
        >>> model, checkpoint = built(found)  # doctest: +SKIP
        >>> spec_of(model, found, checkpoint).classes  # doctest: +SKIP
        ('scratch', 'dent')
    """
    task = task_of(model)
    classes = _classes(found, checkpoint)
    _check_number(model, classes, found)
    note = _note(checkpoint, found)
    about = _about(found, note)
    if task == 'labels':
        # Only a threshold that was chosen is in it; the head has a default.
        return _of_labels(model, classes, _is_number(note.get('threshold')), about)
    chosen = note.get('thresholds') or {}
    thresholds = {n: float(value) for n, value in chosen.items() if _is_number(value)}
    own = own_alarms(model, classes)
    thresholds = dict.fromkeys(own, above(1.0)) | thresholds
    return ModelSpec(
        task=task,
        classes=classes,
        thresholds=thresholds,
        default_threshold=BOX_THRESHOLD if task == 'boxes' else None,
        calibrated=bool(thresholds) and thresholds.keys() >= set(classes),
        routes=task == 'maps' and hasattr(model, 'route'),
        alarms=own | dict(note.get('alarms') or {}),
        about=about,
    )


def _note(checkpoint: Mapping[str, Any], found: Trained) -> Mapping[str, Any]:
    note = (checkpoint.get('meta') or {}).get(CALIBRATION) or {}
    if isinstance(note, dict) and isinstance(note.get('thresholds') or {}, dict):
        return note
    raise ValueError(
        f"{found.checkpoint} has meta['{CALIBRATION}']={brief(note)}: expected what "
        '`mmdefect calibrate` writes; run it once more'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _of_labels(
    model: Any, classes: tuple[str, ...], calibrated: bool, about: dict[str, Any]
) -> ModelSpec:
    buffers = dict(model.head.named_buffers(recurse=False))
    threshold = buffers.get('threshold')
    if threshold is None:  # a head without a decision: the likeliest class wins
        return ModelSpec(task='labels', classes=classes, about=about)
    return ModelSpec(
        task='labels',
        classes=classes,
        defective=classes[0],
        thresholds={classes[0]: float(threshold)},
        calibrated=calibrated,
        about=about,
    )


def _classes(found: Trained, checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    classes = checkpoint_classes(checkpoint, found.checkpoint)
    if classes is None:
        dataset = dataset_of(found.cfg) or {}
        # mmpretrain's datasets take them without metainfo.
        classes = dataset.get('classes') or dataset.get('seen_classes')
    if classes is None:
        scope, kind = found.cfg.get('default_scope'), str(dataset.get('type'))
        if scope and '.' not in kind:
            kind = f'{scope}.{kind}'
        try:
            classes = dataset_classes({**dataset, 'type': kind})
        except (KeyError, ValueError):
            raise ValueError(
                f'{found.checkpoint} does not say its classes, nor does the config: '
                'expected their names; add metainfo=dict(classes=(...)) to the test '
                'dataset'
            ) from None
    return tuple(map(str, classes))


def _check_number(model: Any, classes: Sequence[str], found: Trained) -> None:
    """Compare the names with the outputs of the head."""
    held = getattr(model, 'roi_head', model)
    head = getattr(held, 'bbox_head', None) or getattr(model, 'head', None)
    outputs = getattr(head, 'num_classes', None)
    if isinstance(outputs, int) and outputs != len(classes):
        raise ValueError(
            f'{found.checkpoint} has {outputs} outputs and {len(classes)} names of '
            f'classes ({", ".join(classes[:3])} ...): expected one name each; use the '
            'config that it was trained with'
        )


def _about(found: Trained, note: Mapping[str, Any]) -> dict[str, Any]:
    dataset = dataset_of(found.cfg) or {}
    about: dict[str, Any] = {
        'config': None if found.config is None else str(found.config),
        'checkpoint': str(found.checkpoint),
        'checkpoint_sha256': file_sha256(found.checkpoint),
        'step': found.step,
        'bits': dataset.get('bits'),
    }
    if note:
        about[CALIBRATION] = dict(note)
    return about
