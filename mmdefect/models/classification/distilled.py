"""Knowledge distillation of classifiers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmpretrain.models.classifiers import ImageClassifier
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.distillation import distribution_kl
from mmdefect.models.classification.pruned import in_scope
from mmdefect.registry import MODELS
from mmdefect.utils.checkpoint import load_exactly
from mmdefect.utils.checks import check_range
from mmdefect.utils.normalisation import normalisation_of


@MODELS.register_module()
class DistilledClassifier(ImageClassifier):
    """mmpretrain's ImageClassifier with a frozen teacher beside it in training.

    Beside the head's losses there is ``loss_distill``, ``weight * T^2 * KL(q || p)``,
    the mean over the batch, with ``q = softmax(teacher / T)`` and ``p = softmax(student
    / T)`` (Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network,
    2015). In MMEngine's log, ``loss`` is the head's alone.

    The teacher sees the batch that the student sees, at its own size. It is no
    submodule: a checkpoint holds the student alone and loads into an
    ``ImageClassifier``. :meth:`init_weights` makes it, which MMEngine's Runner calls
    before it trains, never when it tests.

    Args:
        teacher: Config of a classifier, or one that is ready.
        teacher_checkpoint: Its weights; of a ready one, ``None`` leaves it as it is.
        weight: Factor of the loss.
        temperature: ``T``.
        teacher_size: Side in pixels to which the teacher's images are resized, for a
            teacher of smaller images; by default it sees those of the student.
        kwargs: As for mmpretrain's ``ImageClassifier``.

    Raises:
        FileNotFoundError: When training begins, the checkpoint does not exist.
        TypeError: The teacher is neither.
        ValueError: A teacher without weights, a negative weight or a temperature that
            is not positive; or, when training begins, weights that do not fit the
            teacher, a teacher of other classes or for images that are normalised
            otherwise.
    """

    def __init__(
        self,
        *,
        teacher: Mapping[str, Any] | nn.Module,
        teacher_checkpoint: str | Path | None = None,
        weight: float = 1.0,
        temperature: float = 4.0,
        teacher_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        _check_settings(teacher, teacher_checkpoint, weight, temperature)
        if teacher_size is not None:
            check_range('teacher_size', teacher_size, 1)
        super().__init__(**kwargs)
        self.teacher_checkpoint = teacher_checkpoint
        self.weight = weight
        self.temperature = temperature
        self.teacher_size = teacher_size
        # Both in tuples, so that no teacher becomes a submodule.
        self._given = (in_scope(teacher) if isinstance(teacher, Mapping) else teacher,)
        self._teacher: tuple[FrozenClassifier, ...] = ()

    @property
    def teacher(self) -> FrozenClassifier | None:
        """The frozen teacher; ``None`` before :meth:`init_weights` and in inference."""
        return self._teacher[0] if self._teacher else None

    def init_weights(self) -> None:
        """Initialise the student as its config says, then make the teacher."""
        super().init_weights()
        given = self._given[0]
        model: Any = copy.deepcopy(given)
        if not isinstance(given, nn.Module):
            model = MODELS.build(model)
        if self.teacher_checkpoint is not None:
            load_exactly(model, self.teacher_checkpoint, name='model.teacher')
            print_log(
                f'The teacher has the weights of {self.teacher_checkpoint}', 'current'
            )
        _check_classes(self, model)
        _check_images(self, model)
        self._teacher = (FrozenClassifier(model),)

    def loss(self, inputs: Tensor, data_samples: list[Any]) -> dict[str, Tensor]:
        """The head's losses and ``loss_distill``.

        Args:
            inputs: Preprocessed images, shape ``(B, 3, H, W)``.
            data_samples: Their labels.
        """
        if self.teacher is None:
            raise RuntimeError(
                'teacher=None: expected one in training; call init_weights() first '
                "(MMEngine's Runner does)"
            )
        with recorded_logits(self.head) as logits:
            losses = super().loss(inputs, data_samples)
        expected = self.teacher.to(inputs.device)(self._for_teacher(inputs))
        losses['loss_distill'] = self.weight * softened_kl(
            expected, logits[-1], temperature=self.temperature
        )
        return losses

    def _for_teacher(self, inputs: Tensor) -> Tensor:
        if self.teacher_size is None:
            return inputs
        size = (self.teacher_size, self.teacher_size)
        return F.interpolate(inputs, size, mode='bilinear')  # as OpenCV's Resize


class FrozenClassifier(nn.Module):
    """A classifier that never changes.

    Args:
        model: The classifier to freeze.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenClassifier:
        """Stay in evaluation mode whatever is asked for."""
        return super().train(False)

    def __deepcopy__(self, memo: dict) -> FrozenClassifier:
        """An averaged copy of the student looks at the same teacher."""
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of preprocessed images ``(B, 3, H, W)``."""
        return self.model(images)


Teacher = FrozenClassifier  # its name in pickles of before


@contextmanager
def recorded_logits(head: nn.Module) -> Iterator[list[Tensor]]:
    """Logits that a head computes within, so that it need not be run a second time.

    Raises:
        RuntimeError: The head was not called as a function.
    """
    found: list[Tensor] = []
    handle = head.register_forward_hook(lambda *call: found.append(call[2]))
    try:
        yield found
    finally:
        handle.remove()
    if not found:
        raise RuntimeError(
            f'head={type(head).__name__}: expected one whose loss calls the head, such '
            'as mmdefect.DefectClsHead'
        )


def softened_kl(teacher: Tensor, student: Tensor, *, temperature: float) -> Tensor:
    """``T^2 * KL(q || p)`` of softened distributions, the mean over a batch, float32.

    Args:
        teacher: Logits, shape ``(B, C)``.
        student: Logits of the same shape.
        temperature: ``T``.

    Raises:
        ValueError: The shapes differ.
    """
    if teacher.shape != student.shape or student.ndim != 2:
        raise ValueError(
            f'student.shape={tuple(student.shape)}, '
            f'teacher.shape={tuple(teacher.shape)}: expected (B, C) of both'
        )
    bins = distribution_kl(teacher.float(), student.float(), temperature=temperature)
    return bins.mean() * student.shape[1]  # it averages over the classes


def _check_settings(
    teacher: Any, checkpoint: Any, weight: float, temperature: float
) -> None:
    if not isinstance(teacher, (Mapping, nn.Module)):
        raise TypeError(
            f'model.teacher={teacher!r}: expected a classifier, or the config of one'
        )
    if checkpoint is None and not isinstance(teacher, nn.Module):
        raise ValueError(
            'model.teacher_checkpoint=None: expected a file where model.teacher is a '
            'config, or it would be random'
        )
    check_range('weight', weight, 0, float('inf'), open_high=True)
    check_range(
        'temperature', temperature, 0, float('inf'), open_low=True, open_high=True
    )


def _check_classes(student: Any, teacher: Any) -> None:
    ours = getattr(student.head, 'num_classes', None)
    theirs = getattr(teacher.head, 'num_classes', None)
    if ours != theirs:
        raise ValueError(
            f'num_classes={theirs} of the teacher: expected {ours} as of the student, '
            'in the same order'
        )


def _check_images(student: Any, teacher: Any) -> None:
    """Both see the batch that the student's preprocessor made."""
    ours, theirs = normalisation_of(student), normalisation_of(teacher)
    # One without is in a config that leaves it to the top level, which is the
    # student's.
    if theirs is not None and ours != theirs:
        raise ValueError(
            f'mean, std, to_rgb={theirs} of the teacher: expected {ours} as of the '
            'student; give both the same data_preprocessor'
        )
