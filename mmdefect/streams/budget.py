"""How much of its steps a stream of boxes may keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mmdefect.utils.checks import check_number

KINDS = ('images', 'images_mb', 'crops', 'drawn')


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be kept; one of :data:`KINDS`.

    Attributes:
        images: Whole images of each class.
        images_mb: Megabytes (10^6 bytes) of image files in all, shared by the classes
            alike: with every step each class has less.
        crops: Objects of each class, cut out by their boxes (PNG).
        drawn: Images of each class that the model of the step draws; of a photograph,
            its boxes alone are kept.
        iterations: Of a drawing.
        share: Share of a training batch that is remembered images; the step's own
            images are as many as ``batch_size`` says, so a batch of 8 becomes one of
            10 by 0.2.
        start_from: Folder of a memory that stands for that of step 0, such as the last
            one of another stream.
        interim: Work dir of a stream of the same steps whose models know the new
            kinds, such as fine-tuning's: before a step trains, its model labels them
            on kept images. By default they are background there.
        interim_score: Least score of such a box.
    """

    images: int | None = None
    images_mb: float | None = None
    crops: int | None = None
    drawn: int | None = None
    iterations: int = 200
    share: float = 0.2
    start_from: str | None = None
    interim: str | None = None
    interim_score: float = 0.5

    @property
    def asked(self) -> dict[str, Any]:
        """The kind and its size, as the config says it."""
        return {k: getattr(self, k) for k in KINDS if getattr(self, k) is not None}

    @property
    def rules(self) -> dict[str, Any]:
        """By what was kept is chosen or made; another memory where they differ."""
        drawn = {} if self.drawn is None else {'iterations': self.iterations}
        return self.asked | drawn

    @property
    def number(self) -> int | None:
        """How many of a class, where they are counted."""
        return next(
            (n for n in (self.images, self.crops, self.drawn) if n is not None), None
        )

    def replayed(self, batch_size: int) -> int:
        """Remembered images beside a batch of this many own ones; at least one."""
        return max(1, round(batch_size * self.share / (1 - self.share)))


def budget_of(settings: Mapping[str, Any] | None) -> Budget | None:
    """Read ``stream.memory``.

    Returns:
        None where nothing is kept.

    Raises:
        ValueError: It names no kind, two kinds, an unknown setting, or less than one
            image a class.
    """
    if settings is None:
        return None
    known = [field.name for field in fields(Budget)]
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(
            f'stream.memory.{unknown[0]}: expected one of {", ".join(known)}; correct '
            'it, or leave stream.memory out to keep nothing'
        )
    budget = Budget(**settings)
    if len(budget.asked) != 1:
        found = ', '.join(budget.asked) or 'none'
        raise ValueError(
            f'stream.memory={dict(settings)}: expected one of {", ".join(KINDS)}, '
            f'found {found}; keep one kind, or leave stream.memory out to keep nothing'
        )
    ((kind, size),) = budget.asked.items()
    if kind == 'images_mb':
        check_number(f'stream.memory.{kind}', size, 0)
    else:
        check_number(f'stream.memory.{kind}', size, 1, whole=True)
    check_number('stream.memory.iterations', budget.iterations, 1, whole=True)
    check_number('stream.memory.share', budget.share, 0.01, 0.9)
    check_number('stream.memory.interim_score', budget.interim_score, 0, 1)
    if budget.interim is not None and budget.crops is not None:
        raise ValueError(
            f'stream.memory.interim={budget.interim!r} with crops: expected images, on '
            'which new kinds may be in view; leave interim out'
        )
    return budget
