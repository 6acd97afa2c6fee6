"""COCO detection metric that tells old classes from new ones."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from mmdet.evaluation.metrics import CocoMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmdefect.datasets.boxes.coco_file import boxes_in_frame, read_coco
from mmdefect.evaluation.box_diagnosis import Diagnosis, diagnose
from mmdefect.evaluation.box_rows import annotated_rows, coco_results, found_rows
from mmdefect.evaluation.coco_numbers import PRECISION_ITEMS, CocoNumbers
from mmdefect.evaluation.groups import group_means, groups_of
from mmdefect.registry import METRICS
from mmdefect.utils.checks import check_choice, check_known, visible
from mmdefect.utils.collection import collection_paused

BACKENDS = ('auto', 'faster', 'pycocotools')
OWN = 'own_AP50'


def coco_backend(name: str) -> tuple[type, type]:
    """Return the classes ``(COCO, COCOeval)`` of a backend, all of the same numbers.

    Raises:
        ValueError: If the name is unknown.
        ModuleNotFoundError: If ``faster`` is asked for and not installed.
    """
    check_choice('backend', name, BACKENDS)
    installed = find_spec('faster_coco_eval') is not None
    if name == 'faster' and not installed:
        raise ModuleNotFoundError(
            "backend='faster': expected faster-coco-eval to be installed; run "
            "`pip install faster-coco-eval` or use backend='pycocotools'"
        )
    if installed and name != 'pycocotools':
        from faster_coco_eval import COCO, COCOeval_faster

        return COCO, COCOeval_faster
    from pycocotools.coco import COCO as PlainCOCO  # noqa: N811
    from pycocotools.cocoeval import COCOeval

    return PlainCOCO, COCOeval


@METRICS.register_module()
class GroupedCocoMetric(CocoMetric):
    """Box AP per class and for the groups old, new, all.

    Beside mmdet's ``bbox_mAP``, ``bbox_mAP_50``, ... (here not rounded) it returns
    ``AP50/<class>``, ``AP/<class>`` and ``AP50_<group>``, ``AP_<group>``, where a group
    is the plain mean over its classes. Old are ``old_classes``, new are the other
    classes of ``dataset_meta``; without old classes there is only the group ``all``. A
    class without any ground truth has NaN and is left out of the means.

    What is wrong with the boxes is found out, too (:mod:`mmdefect.functional.
    box_diagnosis`). Own images of a class show a class of the same step:
    ``own_AP50/<class>`` and ``<group>_own_AP50`` are AP50 on these alone.
    ``foreign_false_alarms`` counts boxes of the newest step's classes on images that
    show none of them, ``foreign_false_alarms_old`` those of the older classes on images
    that show none of their own step; in both a box counts from the threshold of its
    class on. Afterwards ``diagnosis`` holds all of it, on the main process: thresholds,
    false alarms of each class, and which class is mistaken for which, with the image
    of the best scored box.

    All numbers use the largest of ``proposal_nums`` (mmdet's ``bbox_mAP`` stops at 100
    boxes an image: the same number for a detector that keeps at most 100). Labels find
    their category by name, so a json with other or permuted categories works. The
    annotation file is read at first use, as the dataset reads it (see
    :mod:`mmdefect.datasets.boxes.coco_file`).

    Args:
        ann_file: COCO json of the test set.
        old_classes: Classes that earlier steps brought.
        step_sizes: Number of classes of each step, in label order; by default the old
            ones are of one step and the others of another.
        thresholds: Class -> score from which on a box is called, chosen on validation
            images. Classes without one get that at which half of their objects in
            these test images are found: for the diagnosis, not to decide by.
        backend: ``auto`` (faster-coco-eval when installed), ``faster`` or
            ``pycocotools``.
        kwargs: Passed to mmdet's ``CocoMetric``; its ``metric`` can only be ``bbox``.

    Raises:
        ValueError: If the backend or the metric is unknown, or 0.5 is not among
            ``iou_thrs``.

    Example:
        >>> metric = GroupedCocoMetric(ann_file='test.json', old_classes=['crazing'])
        >>> metric.dataset_meta = {'classes': ['crazing', 'patches']}
    """

    def __init__(
        self,
        *,
        ann_file: str,
        old_classes: Sequence[str] = (),
        step_sizes: Sequence[int] | None = None,
        thresholds: Mapping[str, float] | None = None,
        backend: str = 'auto',
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file=None, **kwargs)
        if self.metrics != ['bbox']:
            raise ValueError(
                f"metric={self.metrics}: expected 'bbox', the only one that is "
                'grouped; use mmdet.CocoMetric for the others'
            )
        given: Any = self.iou_thrs
        self.iou_thrs: np.ndarray = np.array(given, dtype=np.float64, ndmin=1)
        if not np.isclose(self.iou_thrs, 0.5).any():
            raise ValueError(
                f'iou_thrs={self.iou_thrs.tolist()}: expected 0.5 among them, where '
                'AP50 is read; add it'
            )
        self._coco_api: Any = None
        self.ann_file = ann_file
        self.old_classes = list(old_classes)
        self.step_sizes = None if step_sizes is None else list(step_sizes)
        self.thresholds = dict(thresholds or {})
        self.backend = backend
        self.diagnosis: dict[str, Any] = {}
        self._coco_class, self._eval_class = coco_backend(backend)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of one batch, as mmdet does, and paths of images."""
        self.open()
        for sample in data_samples:
            self._check_image(sample)
        super().process(data_batch, data_samples)
        kept = reversed(self.results)
        for sample, (truth, _) in zip(reversed(data_samples), kept, strict=False):
            truth['img_path'] = sample.get('img_path')

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Score all predictions that :meth:`process` kept, on all ranks.

        Returns:
            Name -> value, without the prefix; empty with ``format_only``.

        Raises:
            ValueError: If no image was evaluated, or a class is unknown.
        """
        self.open()
        if not results:
            raise ValueError(
                'no image was evaluated: expected at least one; check the test dataset'
            )
        predictions = [prediction for _, prediction in results]
        if self.outfile_prefix:
            self.results2json(predictions, self.outfile_prefix)
        if self.format_only:
            logger: MMLogger = MMLogger.get_current_instance()
            logger.info(f'results are saved in {Path(self.outfile_prefix).parent}')
            return {}
        with collection_paused():
            evaluation = self._evaluate(coco_results(predictions, self.cat_ids))
        diagnosis = self._diagnose(results)
        numbers = CocoNumbers(
            evaluation, self.iou_thrs, self.cat_ids, sorted(self.proposal_nums)
        )
        metrics = numbers.of_host(self.metric_items) | self._class_metrics(numbers)
        metrics |= diagnosis.scalars()
        rows = {
            name: {metric: metrics[f'{metric}/{name}'] for metric in ('AP50', 'AP')}
            for name in self._classes
        }
        own = {name: {OWN: metrics[f'{OWN}/{name}']} for name in rows}
        groups = groups_of(self._classes, self.old_classes)
        for name, value in group_means(own, groups).items():
            metrics[f'{name.removeprefix(f"{OWN}_")}_{OWN}'] = value
        return metrics | group_means(rows, groups)

    def _diagnose(self, results: list) -> Diagnosis:
        """Find out what is wrong, and keep it with the files of the images."""
        numbers = {image: number for number, image in enumerate(sorted(self.img_ids))}
        found = found_rows(
            [prediction for _, prediction in results],
            numbers,
            limit=max(self.proposal_nums),
        )
        labels = {category: label for label, category in enumerate(self.cat_ids)}
        annotations = self._coco_api.dataset['annotations']
        diagnosis = diagnose(
            found,
            annotated_rows(annotations, numbers, labels),
            classes=self._classes,
            steps=self._class_steps(),
            images=len(numbers),
            thresholds=self.thresholds,
        )
        paths = {truth['img_id']: truth.get('img_path') for truth, _ in results}
        bits = self.dataset_meta.get('bits')
        files = []
        for image in numbers:
            entry = self._coco_api.imgs[image]
            read = {key: entry[key] for key in ('width', 'height')}
            read |= {} if bits is None else {'bits': bits}
            path = str(paths.get(image) or entry['file_name'])
            files.append({'img_path': path, 'read': read})
        self.diagnosis = diagnosis.to_dict(files)
        return diagnosis

    def _class_steps(self) -> list[int]:
        """Step of each class; refuses sizes that do not add up."""
        if self.step_sizes is None:
            first = bool(self.old_classes)
            return [int(first and n not in self.old_classes) for n in self._classes]
        if sum(self.step_sizes) != len(self._classes) or min(self.step_sizes) < 1:
            raise ValueError(
                f'step_sizes={self.step_sizes}: expected the number of classes of each '
                f'step, which add up to the {len(self._classes)} of the dataset'
            )
        return [step for step, size in enumerate(self.step_sizes) for _ in range(size)]

    @property
    def _classes(self) -> list[str]:
        return list(self.dataset_meta['classes'])

    def open(self) -> None:
        """Read the annotation file and find the category of each label by name.

        Called at first use; call it earlier, with ``dataset_meta`` set, to meet its
        errors before a training. Later calls do nothing.

        Raises:
            FileNotFoundError: If the annotation file is not there.
            ValueError: If it cannot be understood, or lacks a class.
        """
        if self._coco_api is not None:
            return
        if not self.dataset_meta:
            raise ValueError(
                'dataset_meta=None: expected the classes of the dataset; set it before '
                'the annotation file is read'
            )
        annotations = read_coco(self.ann_file, backend_args=self.backend_args)
        annotations['annotations'], found = boxes_in_frame(annotations)
        logger: MMLogger = MMLogger.get_current_instance()
        if found:
            logger.warning(f'{self.ann_file}: {found}')
        self.cat_ids = self._categories(annotations)
        self._class_steps()
        self._files = {i['id']: i['file_name'] for i in annotations['images']}
        self.img_ids = list(self._files)
        coco = self._coco_class()
        coco.dataset = annotations
        with redirect_stdout(io.StringIO()):
            coco.createIndex()
        self._coco_api = coco

    def _check_image(self, sample: Mapping[str, Any]) -> None:
        """Refuse predictions of an image that the annotation file does not mean."""
        name = self._files.get(sample['img_id'])
        path = str(sample.get('img_path') or name).replace('\\', '/')
        if name is None or PurePosixPath(path).name != PurePosixPath(name).name:
            listed = 'nowhere' if name is None else f'as {name}'
            raise ValueError(
                f'{self.ann_file}: image {sample["img_id"]} ({path}) is listed '
                f'{listed}; expected the annotation file of the tested data: give the '
                'dataset and the evaluator the same ann_file'
            )

    def _categories(self, annotations: Mapping[str, Any]) -> list[int]:
        """Category id of each label; refuses names that do not fit."""
        ids = {entry['name']: entry['id'] for entry in annotations['categories']}
        missing = [name for name in self._classes if name not in ids]
        if missing:
            absent, known = (', '.join(map(visible, names)) for names in (missing, ids))
            raise ValueError(
                f"class {absent} is not in '{self.ann_file}', which has {known}: "
                'expected the annotation file of these classes; give it'
            )
        check_known(self.old_classes, self._classes, what='old_classes')
        return [ids[name] for name in self._classes]

    def _evaluate(self, boxes: list[dict]) -> Any:
        """Run the evaluator on :func:`coco_results`, without its prints."""
        # What loadRes does, without the outlines that it draws around every box.
        predictions = self._coco_class()
        predictions.dataset = {
            key: self._coco_api.dataset[key] for key in ('images', 'categories')
        } | {'annotations': boxes}
        with redirect_stdout(io.StringIO()):
            predictions.createIndex()
            evaluation = self._eval_class(self._coco_api, predictions, 'bbox')
            evaluation.params.catIds = list(self.cat_ids)
            evaluation.params.imgIds = list(self.img_ids)
            evaluation.params.maxDets = sorted(self.proposal_nums)
            evaluation.params.iouThrs = self.iou_thrs
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation

    def _class_metrics(self, numbers: CocoNumbers) -> dict[str, float]:
        """AP50 and AP of each class, and mmdet's table with ``classwise``."""
        metrics: dict[str, float] = {}
        table = [['category', *PRECISION_ITEMS]]
        undefined = []
        for label, name in enumerate(self._classes):
            row = [numbers.precision(*i, label) for i in PRECISION_ITEMS.values()]
            values = [float('nan') if value is None else value for value in row]
            metrics[f'AP50/{name}'] = values[1]
            metrics[f'AP/{name}'] = values[0]
            if self.classwise:
                metrics[f'{name}_precision'] = values[0]
            table.append([name, *(f'{value:.3f}' for value in values)])
            if row[0] is None:
                undefined.append(name)
        logger: MMLogger = MMLogger.get_current_instance()
        if self.classwise:
            logger.info('\n' + AsciiTable(table).table)
        if undefined:
            logger.warning(
                f"no ground truth of {', '.join(undefined)} in '{self.ann_file}': "
                'their AP is NaN and left out of the means.'
            )
        return metrics
