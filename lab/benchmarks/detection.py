"""Speed and size of the class-incremental detector, beside plain GFL.

Models, losses and optimizers are those of the presets' second step (three classes, then
three more), with random weights and random images: what an iteration costs depends on
neither, except for how many boxes the released terms' NMS sees.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from lab.benchmarks import detection_costs as costs
from lab.benchmarks.detection_keep import keep_iteration
from lab.benchmarks.detection_models import (
    BOXES_PER_IMAGE,
    checkpoint_bytes,
    initialised,
    iteration,
    random_batch,
    step_config,
    taught,
)
from lab.benchmarks.nms import numpy_nms, random_boxes
from mmdefect import mmcv_ext_standin
from mmdefect.apis import load_config
from mmdefect.utils.checks import check_choice
from mmdefect.utils.timing import Progress, interleaved

Measurement = Callable[[Progress | None], dict[str, float]]

PRESETS = {
    'gfl': 'gfl_stream/joint_r50_fpn_2x_neu-det_3+3.py',
    'sd_idd': 'sd_idd/sd-idd_r50_fpn_2x_neu-det_3+3.py',
    'sd_idd_release': 'sd_idd/sd-idd-release_r50_fpn_2x_neu-det_3+3.py',
}
# Of the CPU presets.
SMALL = 'gfl/gfl_mobilenet-v2_fpn_cpu_neu-det.py'
# Channels of the four stages of a ResNet.
WIDTHS = dict.fromkeys((18, 34), (64, 128, 256, 512)) | dict.fromkeys(
    (50, 101, 152), (256, 512, 1024, 2048)
)
NMS_IOU = 0.6


class DetectionSuite:
    """Comparisons of the incremental detector with GFL, one by one.

    Args:
        configs: The folder ``configs`` of this repository.
        pairs: Pairs of runs of everything but training.
        train_pairs: Pairs of training iterations.
        image_size: Height and width of the images in pixels.
        batch_size: Images of a training batch; inference takes one.
        depth: Layers of the ResNet: 18, 34, 50, 101 or 152.

    Attributes:
        comparisons: Name ``ours/other`` -> what measures it. Each builds what it needs.

    Raises:
        ValueError: If there is no such ResNet.
    """

    dataset = 'random images'

    def __init__(
        self,
        *,
        configs: str | Path,
        pairs: int = 50,
        train_pairs: int = 30,
        image_size: int = 320,
        batch_size: int = 2,
        depth: int = 50,
    ) -> None:
        check_choice('depth', depth, WIDTHS)
        self.configs = Path(configs)
        self.pairs = pairs
        self.train_pairs = train_pairs
        self.image_size = image_size
        self.batch_size = batch_size
        self.depth = depth
        self.comparisons: dict[str, Measurement] = {
            'sd_idd_iter/gfl_iter': self._training('sd_idd', 'gfl'),
            'sd_idd_iter/sd_idd_release_iter': self._training(
                'sd_idd', 'sd_idd_release'
            ),
            'keep_iter/gfl_iter': self._keep,
            'student_infer/gfl_infer': self._inference,
            'student_ckpt/gfl_ckpt': self._checkpoints,
            'standin_nms/numpy_nms': self._numpy_nms,
        }
        if compiled_ops() is not None:
            self.comparisons['standin_nms/compiled_nms'] = self._compiled_nms
        self.comparisons |= {
            'merged_adamw/adamw': self._adamw,
            'grouped_metric/faster_coco_eval': self._metric,
            'dataset_build/cocodataset': self._dataset,
            'startup/mmdet_startup': self._startup,
            'cooccurrence_118k_s': lambda _: costs.cooccurrence(),
            'dataset_118k_peak_gb': lambda _: costs.dataset_peak(),
        }

    @property
    def notes(self) -> str:
        """What a reader of the numbers must know."""
        said = (
            f'Median of the ratios of interleaved pairs. R{self.depth} FPN at '
            f'{self.image_size} px, training at batch {self.batch_size} with '
            f'{BOXES_PER_IMAGE} boxes an image, inference at batch 1; keep as in its '
            'CPU preset, batch 8 and 2 kept images at 200 px. Peak memory is '
            'not measured: one process holds both sides; that of the step dataset is '
            f'of a process of its own. Starts, builds and metrics: {self._few} pairs.'
        )
        if compiled_ops() is None:
            said += ' No compiled mmcv operators here, so no standin_nms/compiled_nms.'
        return said

    def config(self, name: str, step: int = 1) -> Config:
        """Return a step of a preset, at this depth and without pretrained weights."""
        cfg = step_config(self.configs / PRESETS[name], step)
        cfg.model.backbone.update(depth=self.depth)
        cfg.model.neck.in_channels = list(WIDTHS[self.depth])
        return cfg

    def detector(self, name: str) -> Any:
        """Build the detector of a preset's second step, with a teacher if it has one.

        The teacher is a GFL with random weights, read from a checkpoint as in a run.
        """
        torch.manual_seed(0)
        cfg = self.config(name)
        if 'distill' not in cfg.model:
            return initialised(cfg.model)
        return taught(cfg.model, by=initialised(self.config('gfl', step=0).model))

    def stock(self, student: Any) -> Any:
        """Build mmdet's own ``GFL`` with the student's weights."""
        cfg = self.config('gfl').model
        cfg.bbox_head.type = 'mmdet.GFLHead'
        model = MODELS.build(cfg)
        model.load_state_dict(student.state_dict())
        return model

    def training_step(self, name: str) -> tuple[Any, Callable[[], Any]]:
        """Return a detector and what trains it by one iteration on a fixed batch."""
        model = self.detector(name).train()
        batch = random_batch(self.batch_size, size=self.image_size)
        return model, iteration(model, self.config(name).optim_wrapper, batch)

    def predictor(self, model: Any) -> Callable[[], list]:
        """Return what detects on one preprocessed image, up to the kept boxes."""
        model.eval()
        data = model.data_preprocessor(random_batch(1, size=self.image_size))

        @torch.no_grad()
        def run() -> list:
            return model.predict(data['inputs'], data['data_samples'], rescale=False)

        return run

    def _training(self, ours: str, other: str) -> Measurement:
        def measure(progress: Progress | None = None) -> dict[str, float]:
            steps = [self.training_step(name)[1] for name in (ours, other)]
            times = interleaved(
                *steps, pairs=self.train_pairs, warmup=3, progress=progress
            )
            return times.metrics(f'{ours}_iter/{other}_iter')

        return measure

    def _keep(self, progress: Progress | None = None) -> dict[str, float]:
        return keep_iteration(self.configs, pairs=self.train_pairs, progress=progress)

    def _inference(self, progress: Progress | None = None) -> dict[str, float]:
        student = self.detector('sd_idd')
        # Untrained scores are below the threshold, and NMS would have nothing to do.
        torch.nn.init.zeros_(student.bbox_head.gfl_cls.bias)
        stock = self.stock(student)
        times = interleaved(
            self.predictor(student),
            self.predictor(stock),
            pairs=self.pairs,
            progress=progress,
        )
        return times.metrics('student_infer/gfl_infer')

    def _checkpoints(self, progress: Progress | None = None) -> dict[str, float]:
        student, step = self.training_step('sd_idd')
        step()
        ours = len(checkpoint_bytes(student))
        other = len(checkpoint_bytes(self.stock(student)))
        return {
            'student_ckpt/gfl_ckpt': ours / other,
            'student_ckpt/gfl_ckpt_ours_bytes': ours,
            'student_ckpt/gfl_ckpt_other_bytes': other,
        }

    def _numpy_nms(self, progress: Progress | None = None) -> dict[str, float]:
        boxes, scores = random_boxes(size=self.image_size)
        return self._nms(
            'standin_nms/numpy_nms',
            lambda: numpy_nms(boxes, scores, iou_threshold=NMS_IOU),
            progress,
        )

    def _compiled_nms(self, progress: Progress | None = None) -> dict[str, float]:
        compiled: Any = compiled_ops()
        found = torch_nms(compiled, size=self.image_size)
        return self._nms('standin_nms/compiled_nms', found, progress)

    def _adamw(self, progress: Progress | None = None) -> dict[str, float]:
        cfg = load_config(self.configs / SMALL)
        init_default_scope(cfg.default_scope)
        cfg.model.backbone.init_cfg = None
        model = initialised(cfg.model).train()
        return costs.merged_adamw(self.pairs, model, progress)

    def _metric(self, progress: Progress | None = None) -> dict[str, float]:
        return costs.grouped_metric(self._few, progress=progress)

    def _dataset(self, progress: Progress | None = None) -> dict[str, float]:
        return costs.dataset_build(self._few, progress=progress)

    def _startup(self, progress: Progress | None = None) -> dict[str, float]:
        return costs.startup(self._few, self.configs / SMALL, progress)

    @property
    def _few(self) -> int:
        """Pairs of what takes seconds."""
        return max(2, self.train_pairs // 6)

    def _nms(
        self,
        name: str,
        other: Callable[[], np.ndarray | Tensor],
        progress: Progress | None,
    ) -> dict[str, float]:
        ours = torch_nms(mmcv_ext_standin, size=self.image_size)
        if ours().tolist() != other().tolist():
            raise RuntimeError(
                f'{name}: expected the same boxes of both sides; find out which is '
                'wrong'
            )
        times = interleaved(ours, other, pairs=self.pairs, progress=progress)
        return times.metrics(name)


def torch_nms(ops: ModuleType, *, size: int) -> Callable[[], Tensor]:
    """Return NMS of random boxes by an operator in mmcv's form."""
    boxes, scores = map(torch.from_numpy, random_boxes(size=size))
    return lambda: ops.nms(boxes, scores, iou_threshold=NMS_IOU, offset=0)


def compiled_ops() -> ModuleType | None:
    """Return mmcv's compiled operators, or None where the stand-in serves."""
    module = import_module('mmcv._ext')
    return None if Path(module.__file__ or '').suffix == '.py' else module
