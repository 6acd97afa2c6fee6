"""What makes a detector of mmdet learn new classes and keep the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmengine.logging import print_log
from torch import Tensor

from mmdefect.functional.class_rows import expand_by_class
from mmdefect.models.detection.distill.context import (
    PARTS,
    DenseOutputs,
    DistillContext,
)
from mmdefect.models.detection.teacher import Teacher, load_teacher
from mmdefect.models.detection.teacher_cache import TeacherCache
from mmdefect.registry import MODELS


class IncrementalDetector(SingleStageDetector):
    """Mixin, before a detector: a frozen teacher beside it in training, and only there.

    The teacher is the model of the step before. It starts the student (equal weights,
    class rows by name, fresh rows for new classes) and gives what ``distill`` compares.
    It is no submodule: checkpoints, optimizer and DDP hold the student alone, and a
    checkpoint loads into mmdet's own detector. Inference needs no teacher file.

    Args:
        distill: A strategy, built or as its config, such as
            ``dict(type='mmdefect.SelectiveDistillation')``; ``None`` trains the new
            classes and nothing holds the old ones.
        teacher: ``dict(checkpoint=..., classes=...)``; ``classes``, the names of the
            old classes, may be left out. Read by :meth:`init_weights`, which MMEngine's
            Runner calls before it trains, never when it tests.
        expert: ``dict(checkpoint=...)`` of a model of this architecture that has
            learned the new classes, for a strategy that asks an expert. Read as the
            teacher is.
        teacher_cache_mb: Keep what teacher and expert say about an image, up to so many
            MB each, and ask them again only about images that were never seen: see
            :class:`~mmdefect.models.detection.teacher_cache.TeacherCache`. For
            pipelines whose images come back unchanged or flipped.
        kwargs: As for mmdet's detector; ``bbox_head`` is an
            :class:`~mmdefect.models.detection.incremental_head.IncrementalHead`.

    Raises:
        ValueError: ``teacher`` or ``expert`` names no checkpoint.
    """

    #: Parameters whose rows are classes.
    class_keys: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        *,
        distill: Mapping[str, Any] | torch.nn.Module | None = None,
        teacher: Mapping[str, Any] | None = None,
        expert: Mapping[str, Any] | None = None,
        teacher_cache_mb: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(distill, Mapping):
            distill = MODELS.build(distill)
        self.distill: Any = distill
        self.teacher_cfg = _checkpoint_of('teacher', teacher)
        self.expert_cfg = _checkpoint_of('expert', expert)
        self.teacher_cache_mb = teacher_cache_mb
        self._cache()  # refuses what is no size
        # In tuples, so that they do not become submodules.
        self._teacher: tuple[Teacher, ...] = ()
        self._expert: tuple[Teacher, ...] = ()

    @property
    def teacher(self) -> Teacher | None:
        """The frozen teacher; ``None`` before :meth:`init_weights` and in inference."""
        return self._teacher[0] if self._teacher else None

    @property
    def expert(self) -> Teacher | None:
        """The frozen expert; ``None`` where the teacher is, and where none is given."""
        return self._expert[0] if self._expert else None

    def init_weights(self) -> None:
        """Initialise as the plain detector does, then start from the teacher.

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
            rows=self.class_keys[-1],
        )
        self.start_from(state, old)
        if self.expert_cfg is not None:
            # It is asked about all its classes, whichever of them it has learned.
            state, _ = load_teacher(
                self.expert_cfg['checkpoint'],
                num_classes=self.bbox_head.num_classes,
                rows=self.class_keys[-1],
                what='expert',
            )
            self._expert = (Teacher(self, state, cache=self._cache()),)

    def start_from(self, state: dict[str, Tensor], old_classes: list[str]) -> None:
        """Copy an old model into the student and keep it as the teacher.

        Args:
            state: Weights of a detector of this architecture.
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
            class_keys=self.class_keys,
        )
        self.load_state_dict(filled)
        if self.distill is not None:
            self._teacher = (Teacher(self, state, cache=self._cache()),)
        print_log(f'Started from the teacher: {report}', 'current')

    def _cache(self) -> TeacherCache | None:
        if self.teacher_cache_mb is None:
            return None
        reads = getattr(self.distill, 'reads', PARTS)
        return TeacherCache(self.teacher_cache_mb, parts=reads)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict[str, Any]:
        """Return the head's losses and the distillation losses.

        Args:
            batch_inputs: Preprocessed images, shape ``(N, 3, H, W)``.
            batch_data_samples: mmdet's samples, labels counted over all classes.
        """
        frozen = self._frozen_on(batch_inputs.device)
        with ExitStack() as recording:
            for model in frozen:
                recording.enter_context(model.prefix.recorded())
            features = self.extract_feat(batch_inputs)
        maps = self.bbox_head(features)
        boxes, ignored, metas = unpack_gt_instances(batch_data_samples)
        losses = self.bbox_head.loss_by_feat(*maps, boxes, metas, ignored)
        if frozen:
            student = self.bbox_head.dense(features, maps)
            context = self._context(frozen, batch_inputs, student, boxes, metas)
            losses.update(self.distill(context))
        return losses

    def _frozen_on(self, device: torch.device) -> tuple[Teacher, ...]:
        """The teacher, then the expert if there is one; none if nothing is asked."""
        if self.distill is None:
            return ()
        if self.teacher is None:
            raise RuntimeError(
                'teacher=None: expected one in training; call init_weights() first '
                "(MMEngine's Runner does), or start_from()"
            )
        return tuple(model.to(device) for model in self._teacher + self._expert)

    def _context(
        self,
        frozen: tuple[Teacher, ...],
        images: Tensor,
        student: DenseOutputs,
        boxes: list,
        metas: list[dict],
    ) -> DistillContext:
        sizes = [level.shape[-2:] for level in student.features]
        priors, valid = self.bbox_head.get_anchors(
            sizes, metas, device=student.boxes.device
        )
        outputs = [model(images) for model in frozen]
        cross = {}
        if getattr(self.distill, 'cross_heads', False):
            for name, model in zip(('teacher', 'expert'), frozen, strict=False):
                cross[name] = model.through_head(student.features)
        levels = tuple(len(level) for level in priors[0])
        strides = self.bbox_head.prior_generator.strides
        return DistillContext(
            teacher=outputs[0],
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
            gt_boxes=tuple(map(self.bbox_head.new_boxes, boxes, metas)),
            expert=outputs[1] if len(outputs) > 1 else None,
            cross=cross,
        )


def _checkpoint_of(name: str, given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The settings of a frozen model.

    Raises:
        ValueError: They name no checkpoint.
    """
    if not given:
        return None
    if 'checkpoint' not in given:
        raise ValueError(
            f"model.{name}={given}: expected dict(checkpoint='...', classes=...)"
        )
    return dict(given)
