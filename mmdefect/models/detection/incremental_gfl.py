"""GFL that learns new classes and keeps the old ones without their images."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from mmdet.models.detectors import GFL
from mmdet.models.utils import unpack_gt_instances
from mmengine.logging import print_log
from torch import Tensor

from mmdefect.functional.class_rows import GFL_CLASS_KEYS, expand_by_class
from mmdefect.models.detection.distill.context import DenseOutputs, DistillContext
from mmdefect.models.detection.teacher import Teacher, load_teacher
from mmdefect.registry import MODELS


@MODELS.register_module()
class IncrementalGFL(GFL):
    """mmdet's GFL with a frozen teacher beside it in training, and only there.

    The teacher is the model of the step before. It starts the student (equal weights,
    class rows by name, fresh rows for new classes) and gives what ``distill`` compares.
    It is no submodule: checkpoints, optimizer and DDP hold the student alone, and a
    checkpoint loads into mmdet's ``GFL``. Inference needs no teacher file.

    Args:
        distill: A strategy, built or as its config, such as
            ``dict(type='mmdefect.SelectiveDistillation')``; ``None`` trains the new
            classes and nothing holds the old ones.
        teacher: ``dict(checkpoint=..., classes=...)``; ``classes``, the names of the
            old classes, may be left out. Read by :meth:`init_weights`, which MMEngine's
            Runner calls before it trains, never when it tests.
        kwargs: As for mmdet's ``GFL``; ``bbox_head`` is an ``IncrementalGFLHead``.

    Raises:
        ValueError: ``teacher`` names no checkpoint.
    """

    #: Parameters whose rows are classes.
    class_keys: ClassVar[tuple[str, ...]] = GFL_CLASS_KEYS

    def __init__(
        self,
        *,
        distill: Mapping[str, Any] | torch.nn.Module | None = None,
        teacher: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(distill, Mapping):
            distill = MODELS.build(distill)
        self.distill: Any = distill
        self.teacher_cfg = dict(teacher) if teacher else None
        if self.teacher_cfg is not None and 'checkpoint' not in self.teacher_cfg:
            raise ValueError(
                f'model.teacher={self.teacher_cfg}: expected '
                "dict(checkpoint='...', classes=...)"
            )
        # In a tuple, so that it does not become a submodule.
        self._teacher: tuple[Teacher, ...] = ()

    @property
    def teacher(self) -> Teacher | None:
        """The frozen teacher; ``None`` before :meth:`init_weights` and in inference."""
        return self._teacher[0] if self._teacher else None

    def init_weights(self) -> None:
        """Initialise as GFL does, then start from the teacher.

        Raises:
            FileNotFoundError: The teacher's checkpoint does not exist.
            ValueError: No teacher is given though there is something to distil, or it
                does not fit.
        """
        super().init_weights()
        if self.teacher_cfg is None:
            if self.distill is not None:
                raise ValueError(
                    f'model.teacher=None: expected dict(checkpoint=...) for '
                    f'{type(self.distill).__name__}; a stream sets it itself'
                )
            return
        state, old = load_teacher(
            self.teacher_cfg['checkpoint'],
            num_classes=self.bbox_head.num_old_classes,
            classes=self.teacher_cfg.get('classes'),
        )
        self.start_from(state, old)

    def start_from(self, state: dict[str, Tensor], old_classes: list[str]) -> None:
        """Copy an old model into the student and keep it as the teacher.

        Args:
            state: Weights of a GFL detector of this architecture.
            old_classes: Class of each of its rows.

        Raises:
            ValueError: Names, shapes or the number of classes do not fit.
        """
        if len(old_classes) != self.bbox_head.num_old_classes:
            raise ValueError(
                f'old_classes={old_classes}: expected '
                f'{self.bbox_head.num_old_classes} names, num_old_classes of the head'
            )
        fresh = self.bbox_head.num_classes - len(old_classes)
        filled, report = expand_by_class(
            state,
            self.state_dict(),
            old_classes=old_classes,
            new_classes=[*old_classes, *(f'new class {k}' for k in range(fresh))],
        )
        self.load_state_dict(filled)
        if self.distill is not None:
            self._teacher = (Teacher(self, state),)
        print_log(f'Started from the teacher: {report}', 'current')

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict[str, Any]:
        """Return GFL's losses of the new classes and the distillation losses.

        Args:
            batch_inputs: Preprocessed images, shape ``(N, 3, H, W)``.
            batch_data_samples: mmdet's samples, labels counted over all classes.
        """
        teacher = self._teacher_on(batch_inputs.device)
        with teacher.prefix.recorded() if teacher else nullcontext():
            features = self.extract_feat(batch_inputs)
        maps = self.bbox_head(features)
        boxes, ignored, metas = unpack_gt_instances(batch_data_samples)
        losses = self.bbox_head.loss_by_feat(*maps, boxes, metas, ignored)
        if teacher is not None:
            student = DenseOutputs.from_head(features, *maps)
            sizes = [m.shape[-2:] for m in maps[0]]
            context = self._context(teacher(batch_inputs), student, boxes, metas, sizes)
            losses.update(self.distill(context))
        return losses

    def _teacher_on(self, device: torch.device) -> Teacher | None:
        if self.distill is None:
            return None
        if self.teacher is None:
            raise RuntimeError(
                'teacher=None: expected one in training; call init_weights() first '
                "(MMEngine's Runner does), or start_from()"
            )
        return self.teacher.to(device)

    def _context(
        self,
        teacher: DenseOutputs,
        student: DenseOutputs,
        boxes: list,
        metas: list[dict],
        sizes: list[torch.Size],
    ) -> DistillContext:
        priors, valid = self.bbox_head.get_anchors(
            sizes, metas, device=student.boxes.device
        )
        levels = tuple(len(level) for level in priors[0])
        strides = self.bbox_head.prior_generator.strides
        return DistillContext(
            teacher=teacher,
            student=student,
            priors=torch.cat(priors[0]),
            strides=torch.cat(
                [
                    level.new_full((len(level),), stride)
                    for level, (stride, _) in zip(priors[0], strides, strict=True)
                ]
            ),
            level_sizes=levels,
            valid=torch.stack([torch.cat(flags).bool() for flags in valid]),
            gt_boxes=tuple(instances.bboxes for instances in boxes),
        )
