"""Terms that look at the student's features through the head of a frozen model."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mmdefect.models.detection.distill.context import DenseOutputs, DistillContext
from mmdefect.models.detection.distill.terms import Term, box_gap
from mmdefect.utils.checks import check_choice

Source = Literal['teacher', 'expert']


class CrossTerm(Term):
    """Mean over the priors inside the image, weighted by the frozen model's best score.

    The frozen model's outputs are compared with what its own head makes of the
    student's features. The head is frozen, so gradients reach the student's neck and
    backbone, and not its head. Of the teacher its classes are looked at, of an expert
    the new ones. The weighted sum is divided by the sum of the weights, so that it
    depends neither on the size of an image nor on how much is to be seen.

    Args:
        weight: Factor of the term.
        source: ``'teacher'`` or ``'expert'``.
        floor: Least divisor, for images where the frozen model sees nothing.
    """

    summed = False

    def __init__(
        self, *, weight: float = 1.0, source: Source = 'teacher', floor: float = 1.0
    ) -> None:
        super().__init__(weight=weight)
        check_choice('source', source, ('teacher', 'expert'))
        self.source = source
        self.floor = floor

    def gap(self, theirs: DenseOutputs, ours: DenseOutputs, classes: slice) -> Tensor:
        """How far both are apart at each prior, ``(N, A)``."""
        raise NotImplementedError

    def forward(self, context: DistillContext) -> tuple[Tensor, Tensor]:
        """Compare; see :meth:`Term.forward`.

        Raises:
            ValueError: There is no expert.
        """
        old = context.num_old
        teaches = self.source == 'teacher'
        theirs = context.teacher if teaches else context.expert
        ours = context.cross.get(self.source)
        if theirs is None or ours is None:
            raise ValueError(
                f'model.{self.source}=None: expected dict(checkpoint=...) of a model '
                'whose head the strategy can look through'
            )
        classes = slice(old) if teaches else slice(old, None)
        best = theirs.classes[..., classes].sigmoid().amax(dim=2) * context.valid
        total = (best * self.gap(theirs, ours, classes)).sum(dim=1)
        return total / best.sum(dim=1).clamp(min=self.floor), context.valid.sum(dim=1)


class CrossClasses(CrossTerm):
    """Squared difference of the class logits, mean over the classes."""

    def gap(self, theirs: DenseOutputs, ours: DenseOutputs, classes: slice) -> Tensor:
        """See :meth:`CrossTerm.gap`."""
        apart = ours.classes[..., classes] - theirs.classes[..., classes]
        return apart.square().mean(dim=2)


class CrossBoxes(CrossTerm):
    """How far the boxes are apart, mean over the four sides; see :func:`box_gap`.

    Args:
        weight: Factor of the term.
        source: As for :class:`CrossTerm`.
        floor: As for :class:`CrossTerm`.
        temperature: Softens both distributions.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        source: Source = 'teacher',
        floor: float = 1.0,
        temperature: float = 10.0,
    ) -> None:
        super().__init__(weight=weight, source=source, floor=floor)
        self.temperature = temperature

    def gap(self, theirs: DenseOutputs, ours: DenseOutputs, classes: slice) -> Tensor:
        """See :meth:`CrossTerm.gap`."""
        return box_gap(theirs, ours, temperature=self.temperature) / 4
