"""After training a detector: from which score on to call a box of a class a defect."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmdefect.engine.box_note import box_note, described, unchosen
from mmdefect.engine.calibrated import (
    CALIBRATED,
    calibrated_checkpoint,
    check_costs,
    chosen_checkpoint,
    leave_calibrated,
)
from mmdefect.functional.box_thresholds import choose_thresholds
from mmdefect.registry import HOOKS, HOST_SCOPE
from mmdefect.utils.checkpoint import file_sha256, state_dict_of
from mmdefect.utils.config import innermost, is_coco, use_our_dataset
from mmdefect.utils.modules import evaluating, unwrapped

Boxes = tuple[Tensor, Tensor, Tensor]


@HOOKS.register_module()
class BoxCalibrationHook(Hook):
    """Chooses a score threshold a class on validation images.

    When training is over, the best checkpoint is loaded (the last one without
    ``save_best``), the validation images are looked at, and ``calibrated.pth`` is
    written into the work dir, of a stream into the folder of the step: the same
    weights, with ``meta['calibration']`` of ``thresholds`` by class, ``costs``,
    ``images`` and ``checkpoint``. The runner holds these weights from then on.

    A threshold is the one that costs least, see
    :func:`mmdefect.functional.choose_thresholds`. A class without a validation box, or
    of which nothing is found, has none: a warning names it, and whoever decides falls
    back on a default.

    Args:
        costs: What a missed defect costs and what a false alarm costs.
        dataloader: Config of a loader of validation images, as ``val_dataloader``; that
            one by default. A stream has no other than this: its steps are scored on the
            test set. Classes that a step has not seen are left out.
        iou: From which intersection over union on a box has found a defect.

    Raises:
        ValueError: If the costs are not two positive numbers; or, before training, if
            the model is no detector, there are no validation images, or they are those
            of the test.

    Example:
        >>> hook = BoxCalibrationHook(costs=(10, 1))
        >>> hook.costs
        (10.0, 1.0)
    """

    # After hooks that look at the weights as the last iteration has left them.
    priority = 'LOWEST'

    def __init__(
        self,
        *,
        costs: Sequence[float] = (1.0, 1.0),
        dataloader: Mapping[str, Any] | None = None,
        iou: float = 0.5,
    ) -> None:
        self.costs = check_costs(costs)
        self.dataloader = None if dataloader is None else dict(dataloader)
        self.iou = iou
        self._loader: DataLoader | None = None

    def before_train(self, runner: Runner) -> None:
        """Refuse what could not be calibrated, before hours were spent."""
        from mmdet.models.detectors.base import BaseDetector

        model = unwrapped(runner)
        if not isinstance(model, BaseDetector):
            raise ValueError(
                f'{type(model).__name__} is no detector of mmdet: expected one with '
                'BoxCalibrationHook; remove it, or use mmdefect.CalibrationHook for a '
                'classifier'
            )
        self._loader = self._validation(runner)
        refuse_test_images(runner, self._loader.dataset)

    def after_train(self, runner: Runner) -> None:
        """Choose, and write ``calibrated.pth``."""
        loader = self._loader or self._validation(runner)
        dataset: Any = loader.dataset
        classes = list(dataset.metainfo['classes'])
        source, checkpoint = chosen_checkpoint(runner, metainfo=dataset.metainfo)
        model: Any = unwrapped(runner)
        model.load_state_dict(state_dict_of(checkpoint))
        found = validation_boxes(loader, model)
        truths = annotated_boxes(dataset)
        choice = choose_thresholds(
            [found[path] for path in truths],
            list(truths.values()),
            classes=len(classes),
            costs=self.costs,
            iou=self.iou,
        )
        for sentence in unchosen(choice, classes):
            runner.logger.warning(sentence)
        note = box_note(choice, classes, costs=self.costs, images=len(truths))
        note['checkpoint'] = source
        calibrated = calibrated_checkpoint(checkpoint, model.state_dict(), note)
        leave_calibrated(runner, calibrated)
        runner.logger.info(f'{CALIBRATED} of {source}: {described(choice, classes)}')

    def _validation(self, runner: Runner) -> DataLoader:
        if self.dataloader is None:
            if runner.val_loop is None:
                raise ValueError(
                    'val_dataloader=None: expected images that BoxCalibrationHook '
                    'chooses thresholds on, which no test sees; give the hook '
                    'dataloader=dict(...), as val_dataloader is written'
                )
            return runner.val_dataloader
        dataset: Any = runner.train_dataloader.dataset
        settings = for_classes(self.dataloader, dataset.metainfo['classes'])
        return Runner.build_dataloader(settings, seed=0)


def for_classes(loader: Mapping[str, Any], classes: Sequence[str]) -> ConfigDict:
    """Settings of a loader whose labels are indices into the classes of a model."""
    settings = ConfigDict(copy.deepcopy(dict(loader)))
    settings.setdefault('batch_size', 1)
    settings.setdefault('num_workers', 0)
    settings.setdefault(
        'sampler', {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False}
    )
    dataset = innermost(settings.dataset)
    if is_coco(dataset, HOST_SCOPE):
        use_our_dataset(dataset)
    dataset.setdefault('test_mode', True)  # images without a box count, too
    from mmdefect.datasets.boxes.dataset import DefectDetDataset

    kind: Any = DATASETS.get(dataset.type)
    if isinstance(kind, type) and issubclass(kind, DefectDetDataset):
        dataset.setdefault('seen_classes', list(classes))
    return settings


def refuse_test_images(runner: Runner, dataset: Any) -> None:
    """Refuse validation images that are those of the test.

    Raises:
        ValueError: Both read the same annotation file, or one of equal content.
    """
    loader = runner._test_dataloader
    if loader is None:
        return
    ours = annotation_files(dataset)
    for path in annotation_files(
        loader['dataset'] if isinstance(loader, Mapping) else loader.dataset
    ):
        if any(_same(path, other) for other in ours):
            raise ValueError(
                f'BoxCalibrationHook: the validation images are those of the test '
                f'({path}): expected others, or the thresholds are chosen on what '
                'they are judged by; give the hook dataloader=dict(...) with an '
                'ann_file of its own, or set val_dataloader.dataset.ann_file'
            )


def annotation_files(dataset: Any) -> list[Path]:
    """Annotation files that a dataset, or the config of one, reads."""

    def part(name: str) -> Any:
        read = dataset.get if isinstance(dataset, Mapping) else None
        return read(name) if read else getattr(dataset, name, None)

    if (inner := part('dataset')) is not None:
        return annotation_files(inner)
    if (parts := part('datasets')) is not None:
        return list(chain.from_iterable(map(annotation_files, parts)))
    file = part('ann_file')
    if not file:
        return []
    # A dataset that was built has joined them already.
    root = part('data_root') if isinstance(dataset, Mapping) else None
    return [Path(root or '', file)]


def _same(one: Path, other: Path) -> bool:
    if one.resolve() == other.resolve():
        return True
    there = one.is_file() and other.is_file()
    return there and file_sha256(one) == file_sha256(other)


@torch.no_grad()
def validation_boxes(loader: DataLoader, model: Any) -> dict[str, Boxes]:
    """Look at the images of a loader, on all ranks.

    Returns:
        Path of the image -> boxes ``(N, 4)`` in its own pixels, scores ``(N,)``, labels
        ``(N,)``; the same on every rank.
    """
    rows: dict[str, tuple[Any, Any, Any]] = {}
    with evaluating(model):
        for batch in loader:
            for sample in model.test_step(batch):
                found = sample.pred_instances
                parts = (found.bboxes, found.scores.float(), found.labels)
                rows[sample.img_path] = tuple(p.cpu().numpy() for p in parts)
    joined: dict[str, Boxes] = {}
    for part in all_gather_object(rows):
        for path, (boxes, scores, labels) in part.items():
            joined[path] = (
                torch.from_numpy(boxes).reshape(-1, 4).float(),
                torch.from_numpy(scores),
                torch.from_numpy(labels),
            )
    return joined


def annotated_boxes(dataset: Any) -> dict[str, Boxes]:
    """What a dataset says of its images.

    Returns:
        Path of the image -> boxes ``(G, 4)``, labels ``(G,)``, and which of them are
        regions to be ignored, ``(G,)``.
    """
    found = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        instances = info['instances']
        boxes = [one['bbox'] for one in instances]
        found[info['img_path']] = (
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor([one['bbox_label'] for one in instances], dtype=torch.int64),
            torch.tensor([bool(one.get('ignore_flag')) for one in instances]),
        )
    return found
