"""Keep a few predictions of the test beside their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdefect.datasets.images import HOW_TO_READ
from mmdefect.registry import HOOKS
from mmdefect.utils.checks import check_range
from mmdefect.utils.files import write_json

SAMPLES_FILE = 'samples.json'


def _corners(box: Sequence[float] | Tensor) -> list[float]:
    """Box as plain numbers; a hundredth of a pixel is enough to draw it."""
    return [round(float(value), 2) for value in box]


@HOOKS.register_module()
class SamplePredictionsHook(Hook):
    """Writes ``samples.json`` with evenly spaced test images into the work dir.

    Each entry holds ``img_path``, ``gt`` (boxes x1, y1, x2, y2 in pixels of the file,
    with their class) and ``pred`` (the same with scores, best first). The choice hangs
    on the test set alone, so every step and every model shows the same images. With
    several processes rank 0 writes what all of them saw. For box detectors.

    Args:
        max_samples: Number of images; all of them when the test set has fewer.
        score_thr: Predictions below this score are left out.

    Raises:
        ValueError: If ``max_samples`` is below 1.
    """

    def __init__(self, *, max_samples: int = 6, score_thr: float = 0.3) -> None:
        check_range('max_samples', max_samples, 1)
        self.max_samples = max_samples
        self.score_thr = score_thr
        self._wanted: dict[Any, dict[str, Any]] = {}
        self._found: dict[Any, list[dict[str, Any]]] = {}

    def before_test_epoch(self, runner: Runner) -> None:
        """Choose the images and read their ground truth from the dataset."""
        dataset = runner.test_dataloader.dataset
        classes = dataset.metainfo['classes']
        count = min(self.max_samples, len(dataset))
        self._wanted, self._found = {}, {}
        for index in np.linspace(0, len(dataset) - 1, count).round().astype(int):
            info = dataset.get_data_info(int(index))
            boxes = [
                {'bbox': _corners(box['bbox']), 'label': classes[box['bbox_label']]}
                for box in info['instances']
                if not box.get('ignore_flag')
            ]
            path = str(info['img_path'])
            read = {key: info[key] for key in HOW_TO_READ if key in info}
            self._wanted[info['img_id']] = {'img_path': path, 'read': read, 'gt': boxes}

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Keep the predictions of the chosen images."""
        classes = runner.test_dataloader.dataset.metainfo['classes']
        for sample in outputs or ():
            if sample.img_id not in self._wanted:
                continue
            boxes = sample.pred_instances
            order = boxes.scores.argsort(descending=True)
            self._found[sample.img_id] = [
                {
                    'bbox': _corners(boxes.bboxes[k]),
                    'label': classes[int(boxes.labels[k])],
                    'score': round(float(boxes.scores[k]), 4),
                }
                for k in order.tolist()
                if boxes.scores[k] >= self.score_thr
            ]

    def after_test_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Gather from all ranks and write the file."""
        found: dict[Any, list[dict[str, Any]]] = {}
        for part in all_gather_object(self._found):
            found.update(part)
        if is_main_process():
            samples = [
                {**entry, 'pred': found[image]}
                for image, entry in self._wanted.items()
                if image in found
            ]
            write_json(Path(runner.work_dir, SAMPLES_FILE), samples)
