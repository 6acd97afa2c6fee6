"""The frozen model of the step before, and stages that it shares with the student."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from mmdefect.functional.class_rows import GFL_CLASS_KEYS
from mmdefect.models.detection.distill.context import DenseOutputs
from mmdefect.models.detection.teacher_cache import TeacherCache
from mmdefect.utils.checkpoint import (
    checkpoint_classes,
    load_weights,
    state_dict_of,
    student_of,
)


class Teacher(nn.Module):
    """The student's architecture with the old classes only, frozen for good.

    Args:
        student: An incremental detector, with ``backbone``, ``neck`` and ``bbox_head``.
        state: Weights of the old model, with one class row an old class.
        cache: Remembers what it says; with one, no stages are shared.
    """

    backbone: nn.Module
    neck: nn.Module
    bbox_head: Any

    def __init__(
        self,
        student: Any,
        state: Mapping[str, Tensor],
        *,
        cache: TeacherCache | None = None,
    ) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(student.backbone)
        self.neck = copy.deepcopy(student.neck) if student.with_neck else nn.Identity()
        self.bbox_head = copy.deepcopy(student.bbox_head)
        layer = student.class_keys[0].split('.')[1]
        rows = getattr(self.bbox_head, layer)
        classes = nn.Conv2d(
            rows.in_channels,
            len(state[student.class_keys[0]]),
            rows.kernel_size,
            padding=rows.padding,
        )
        setattr(self.bbox_head, layer, classes)
        self.load_state_dict(state)
        self.requires_grad_(False)
        self.train(False)
        self.prefix = SharedPrefix(student.backbone, self.backbone)
        self.cache = cache
        if cache is not None:
            # What the student computed depends, in the last bit, on its whole batch.
            self.prefix.names = ()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in evaluation mode whatever is asked for."""
        return super().train(False)

    def __deepcopy__(self, memo: dict) -> Teacher:
        """An averaged copy of the student looks at the same teacher."""
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> DenseOutputs:
        """Return dense outputs for preprocessed images ``(N, 3, H, W)``."""
        if self.cache is not None:
            return self.cache(self._look, images)
        return self._look(images)

    def _look(self, images: Tensor) -> DenseOutputs:
        features = self.neck(self.prefix.run(images))
        return self.through_head(features)

    def through_head(self, features: Sequence[Tensor]) -> DenseOutputs:
        """Return what the frozen head makes of features; gradients pass through it."""
        return self.bbox_head.dense(features, self.bbox_head(features))


class SharedPrefix:
    """First stages that teacher and student have in common, run once.

    While both backbones hold the same frozen modules up to some stage, the student's
    output there is the teacher's. Equal weights are checked when sharing begins, equal
    features on the first batch; where either differs, and as soon as the stage is no
    longer frozen, both compute it for themselves.

    Args:
        student: The student's backbone.
        teacher: The teacher's, of the same architecture.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        self.student = student
        self.teacher = teacher
        self.names: tuple[str, ...] | None = None  # unknown before the first batch
        self._output: Tensor | None = None
        self._verified = False

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Remember the student's output of the last shared stage."""
        if self.names is None:
            self.names = _frozen_in_common(self.student, self.teacher)
        if not self.names:
            yield
            return
        last = self.student.get_submodule(self.names[-1])
        handle = last.register_forward_hook(self._record)
        try:
            yield
        finally:
            handle.remove()

    def _record(self, module: nn.Module, args: Any, output: Any) -> None:
        single = isinstance(output, Tensor) and not output.requires_grad
        self._output = output if single else None

    def run(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the teacher's backbone features; forget what was recorded."""
        output, self._output = self._output, None
        if not _frozen(self.student, self.names or ()):
            self.names = ()  # for good: frozen again, it would no longer be equal
        if output is None or not self.names:
            return tuple(self.teacher(images))
        with self._skipped(output):
            features = tuple(self.teacher(images))
        if not self._verified:
            features = self._verify(images, features)
        return features

    @contextmanager
    def _skipped(self, output: Tensor) -> Iterator[None]:
        """Put the recorded output in place of the teacher's shared stages."""
        modules = self.teacher._modules
        names = self.names or ()
        kept = {name: modules[name] for name in names}
        modules.update({name: nn.Identity() for name in names[:-1]})
        modules[names[-1]] = _Constant(output)
        try:
            yield
        finally:
            modules.update(kept)

    def _verify(self, images: Tensor, shared: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compare with the whole backbone once; stop sharing if it differs."""
        alone = tuple(self.teacher(images))
        same = len(alone) == len(shared) and all(map(torch.equal, alone, shared))
        if not same:
            self.names = ()
        self._verified = True
        stages = ', '.join(self.names or ()) or 'nothing'
        print_log(f'Student and teacher share {stages} of the backbone', 'current')
        return alone


class _Constant(nn.Module):
    """Returns a given output, whatever comes in."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        return self.output


def _frozen_in_common(student: nn.Module, teacher: nn.Module) -> tuple[str, ...]:
    """Names of the first children that are frozen in the student and equal in both."""
    names: list[str] = []
    for (name, ours), theirs in zip(
        student.named_children(), teacher.children(), strict=True
    ):
        if not (_frozen(student, [name]) and _equal(ours, theirs)):
            break
        names.append(name)
    return tuple(names)


def _frozen(backbone: nn.Module, names: Sequence[str]) -> bool:
    """Whether stages can change neither by a gradient nor by seeing data."""
    stages = [backbone.get_submodule(name) for name in names]
    return not any(p.requires_grad for s in stages for p in s.parameters()) and not any(
        module.training and isinstance(module, (_NormBase, _DropoutNd))
        for stage in stages
        for module in stage.modules()
    )


def _equal(ours: nn.Module, theirs: nn.Module) -> bool:
    other = theirs.state_dict()
    # How many batches were seen changes nothing in evaluation mode.
    return all(
        torch.equal(value.cpu(), other[key].cpu())
        for key, value in ours.state_dict().items()
        if not key.endswith('num_batches_tracked')
    )


# What a frozen model is, and where it comes from.
_ROLES = {
    'teacher': ('a teacher', 'the checkpoint of the step before'),
    'expert': ('an expert', 'a checkpoint of this step, trained without a teacher'),
}


def load_teacher(
    checkpoint: str,
    *,
    num_classes: int,
    classes: Sequence[str] | None = None,
    rows: str = GFL_CLASS_KEYS[-1],
    what: str = 'teacher',
) -> tuple[dict[str, Tensor], list[str]]:
    """Read a teacher's weights and the names of its classes.

    A teacher inside the checkpoint, as ERD's and SD-IDD's releases keep it, is left
    out: what is asked for is the student that the file was saved for.

    Args:
        checkpoint: A checkpoint of a detector of the student's kind.
        num_classes: How many classes the student takes over.
        classes: Their names, if the student knows them.
        rows: Parameter of one row a class.
        what: ``'teacher'``, or ``'expert'``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file knows other classes, or not as many.
    """
    loaded = load_weights(checkpoint)
    state = student_of(state_dict_of(loaded, checkpoint))
    some, source = _ROLES[what]
    found = len(state.get(rows, ()))
    if found != num_classes:
        raise ValueError(
            f'{checkpoint}: expected {some} of {num_classes} classes, not {found}; '
            f'use {source}'
        )
    names = checkpoint_classes(loaded, checkpoint)
    if names and classes and list(names) != list(classes):
        raise ValueError(
            f'{checkpoint}: expected {some} of the classes {list(classes)}, not '
            f'{list(names)}; use {source}'
        )
    fallback = [f'old class {k}' for k in range(found)]
    return state, list(classes or names or fallback)
