"""After training a detector: from which score on to call a box of a class a defect."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    annotation_files,
    calibrated_checkpoint,
    check_costs,
    chosen_checkpoint,
    leave_calibrated,
    refuse_test_files,
)
from mmdefect.functional.box_scores import fit_classes
from mmdefect.functional.box_thresholds import choose_thresholds
from mmdefect.functional.class_rows import GFL_CLASS_KEYS, scale_rows
from mmdefect.registry import HOOKS, HOST_SCOPE
from mmdefect.utils.checkpoint import state_dict_of
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

    With ``scale_scores`` the logits of each class are first scaled and shifted so that
    a score is the probability to hit: classes of different steps become comparable,
    which matters at one threshold for all and where steps compete. It is written into
    the class rows of the weights, so any detector of mmdet that reads them has it. Give
    images of all steps then: held-out new ones and remembered old ones.

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
        scale_scores: See above; the images are looked at twice.

    Raises:
        ValueError: If the costs are not two positive numbers; or, before training, if
            the model is no detector, there are no validation images, or they are those
            of the test; or if ``scale_scores`` is set and its scores are not those of
            class logits alone, as GFL's are.

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
        scale_scores: bool = False,
    ) -> None:
        self.costs = check_costs(costs)
        self.dataloader = None if dataloader is None else dict(dataloader)
        self.iou = iou
        self.scale_scores = scale_scores
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
        if self.scale_scores and not _scored_by_rows(model):
            raise ValueError(
                f'scale_scores=True for {type(model).__name__}: expected a GFL head, '
                'whose scores are those of its class logits alone; set it to False'
            )
        self._loader = self._validation(runner)
        refuse_test_files(
            annotation_files(self._loader.dataset), runner._test_dataloader
        )

    def after_train(self, runner: Runner) -> None:
        """Choose, and write ``calibrated.pth``."""
        loader = self._validation(runner) if self._loader is None else self._loader
        dataset: Any = loader.dataset
        classes = list(dataset.metainfo['classes'])
        source, checkpoint = chosen_checkpoint(runner, metainfo=dataset.metainfo)
        model: Any = unwrapped(runner)
        model.load_state_dict(state_dict_of(checkpoint))
        truths = annotated_boxes(dataset)
        lines = self._scaled(model, loader, truths, classes)
        found = validation_boxes(loader, model)
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
        if lines:
            note['scale_offset'] = lines
        calibrated = calibrated_checkpoint(checkpoint, model.state_dict(), note)
        leave_calibrated(runner, calibrated)
        runner.logger.info(f'{CALIBRATED} of {source}: {described(choice, classes)}')

    def _scaled(
        self,
        model: Any,
        loader: DataLoader,
        truths: Mapping[str, Boxes],
        classes: Sequence[str],
    ) -> dict[str, list[float]]:
        """Make scores comparable in the model; scale and offset of each class."""
        if not self.scale_scores:
            return {}
        with _not_competing(model):  # what is fitted are the scores of a class alone
            found = validation_boxes(loader, model)
        lines = fit_classes(
            [found[path] for path in truths],
            list(truths.values()),
            classes=len(classes),
            iou=self.iou,
        )
        model.load_state_dict(scale_rows(model.state_dict(), lines))
        return dict(zip(classes, lines.tolist(), strict=True))

    def _validation(self, runner: Runner) -> DataLoader:
        if self.dataloader is None:
            if runner.val_loop is None:
                raise ValueError(
                    'val_dataloader=None: expected images that BoxCalibrationHook '
                    'chooses thresholds on, which no test sees; give the hook '
                    'dataloader=dict(...), as val_dataloader is written'
                )
            return runner.val_dataloader
        learned = runner.train_dataloader.dataset.metainfo
        settings = for_classes(self.dataloader, learned['classes'])
        if 'bits' in learned:  # of 16-bit images, which must look as in training
            innermost(settings.dataset).setdefault('bits', learned['bits'])
        return Runner.build_dataloader(settings, seed=0)


@contextmanager
def _not_competing(model: Any) -> Iterator[None]:
    """Switch the competition of steps off for a while."""
    cfg = getattr(model.bbox_head, 'test_cfg', None) or {}
    before = cfg.get('competition')
    if before is None:
        yield
        return
    cfg['competition'] = None
    try:
        yield
    finally:
        cfg['competition'] = before


def _scored_by_rows(model: torch.nn.Module) -> bool:
    return {*GFL_CLASS_KEYS} <= {name for name, _ in model.named_parameters()}


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
