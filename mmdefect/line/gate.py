"""Whether a new version may take the place of the old one: counts in, a verdict out.

To *lose* is meant class by class and exam by exam. The recall of a class is the share
of its instances (annotated boxes; images of maps and labels) that a version finds; what
is lost is the old version's recall less the new one's. It rests on no more than the
instances of that exam: of 10, each is 10 points.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmdefect.line.gate_words import (
    ROUNDING,
    kind_note,
    lost,
    most,
    notes,
    percent,
    too_few,
)
from mmdefect.utils.checks import check_number

#: Two points, one instance in fifty: what training anew moves by chance alone. With
#: none allowed, a single flipped image of a large exam would stop every promotion.
LOSE = 0.02
#: By how much the rate of false alarms may rise where no rate is given: as much.
RISE = 0.02


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an exam allows.

    Args:
        lose: By how much the recall of a class may fall, as a share: 0.02 are 2 points.
        false_alarms: Largest share of a product's chances of a false alarm that become
            one (see :class:`ProductCount`); None for the old version's and 0.02 more.
        least: Smallest recall of a class, whatever the old version's; None for any.

    Raises:
        ValueError: A limit is no share.
    """

    lose: float = LOSE
    false_alarms: float | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        check_number('lose', self.lose, 0, 1)
        for name in ('false_alarms', 'least'):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, 1)


@dataclass(frozen=True, kw_only=True)
class KindCount:
    """What became of one class (of maps: kind of defect) on the images of a product.

    Attributes:
        product: ``''`` where images show no product.
        kind: Name of the class.
        number: Its instances: annotated boxes; images of maps and labels.
        images: On how many images they are; by default as many.
        found: How many were found; None of a version that does not know the class (of
            maps: the product).
        false: Boxes of it that hit none of its instances, images of another class that
            were called it; None of maps, which name no kind.
    """

    product: str
    kind: str
    number: int
    found: int | None
    false: int | None = None
    images: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProductCount:
    """False alarms of one product.

    Attributes:
        product: ``''`` where images show none.
        number: Its chances of one: good images (maps), images of all other classes than
            the defective one (labels; all images where no class is), all images
            (boxes).
        false: How many became one: a good image that was not called ok, an image of
            another class that was called defective (wrongly named where no class is),
            an image with a box that hits nothing annotated. None of a version that does
            not know the product.
    """

    product: str
    number: int
    false: int | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one version did on one exam.

    Attributes:
        exam: Its name.
        kinds: In the order of the exam.
        products: In the order of the exam.
        calibrated: Whether the thresholds were chosen on validation images.
        bare: Classes that have none of their own, where not all are without.
        failed: Images that the version could not look at.
    """

    exam: str
    kinds: tuple[KindCount, ...]
    products: tuple[ProductCount, ...]
    calibrated: bool = True
    bare: tuple[str, ...] = ()
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """A line of the table: a class of a product, or (``kind`` empty) its false alarms.

    Attributes:
        exam: Name of the exam.
        product: ``''`` where images show none.
        kind: The class, or ``''``.
        number: Instances of the class; chances of a false alarm.
        images: On how many images these are.
        found: By the old and by the new version; None where it does not know the class.
        false: False alarms of the old and of the new version; None where it has none.
        note: Why it does not pass, and what else has to be known.
        passed: Whether it is within the limits.
    """

    exam: str
    product: str
    kind: str
    number: int
    images: int
    found: tuple[int | None, int | None] = (None, None)
    false: tuple[int | None, int | None] = (None, None)
    note: str = ''
    passed: bool = True

    @property
    def missed(self) -> tuple[int | None, int | None]:
        """How many instances the old and the new version have not found."""
        old, new = (None if one is None else self.number - one for one in self.found)
        return old, new

    @property
    def name(self) -> str:
        """What the line is about, in words."""
        kind = self.kind or 'false alarms'
        return f'{kind} of {self.product}' if self.product else kind


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one exam says.

    Attributes:
        exam: Its name.
        passed: Whether all rows are within the limits.
        rows: The table: classes in the order of the exam, then products.
        reasons: One sentence for each row that is not.
        notes: What else has to be known, in sentences.
    """

    exam: str
    passed: bool
    rows: tuple[GateRow, ...]
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()


def compare(old: Counts | None, new: Counts, limits: Limits) -> Verdict:
    """Hold what a new version did on an exam against what the old one did.

    Args:
        old: None before the first promotion: then nothing can be lost, and only the
            limits that are rates hold.
        new: On the same exam.
        limits: What the exam allows.

    Example:
        >>> def counts(found):
        ...     kind = KindCount(product='', kind='dent', number=50, found=found)
        ...     return Counts(exam='frozen', kinds=(kind,), products=())
        >>> compare(counts(48), counts(47), Limits()).passed
        True
        >>> compare(counts(48), counts(46), Limits()).reasons[0].partition(': exp')[0]
        'frozen: dent loses 4.0 points (48 of 50, now 46)'
    """
    kinds = {} if old is None else {(one.product, one.kind): one for one in old.kinds}
    products = {} if old is None else {one.product: one for one in old.products}
    theirs, others = new.kinds, new.products
    rows = [
        *(_kind(new.exam, kinds.get((k.product, k.kind)), k, limits) for k in theirs),
        *(_product(new.exam, products.get(p.product), p, limits) for p in others),
    ]
    reasons = [f'{r.exam}: {r.name} {r.note}' for r in rows if not r.passed]
    return Verdict(
        exam=new.exam,
        passed=not reasons,
        rows=tuple(rows),
        reasons=tuple(reasons),
        notes=tuple(notes(old, new)),
    )


def _kind(exam: str, old: KindCount | None, new: KindCount, limits: Limits) -> GateRow:
    before = None if old is None else old.found
    wrong = lost(before, new, limits) or too_few(new, limits)
    return GateRow(
        exam=exam,
        product=new.product,
        kind=new.kind,
        number=new.number,
        images=new.number if new.images is None else new.images,
        found=(before, new.found),
        false=(None if old is None else old.false, new.false),
        note=wrong or kind_note(old, new, limits),
        passed=not wrong,
    )


def _product(
    exam: str, old: ProductCount | None, new: ProductCount, limits: Limits
) -> GateRow:
    number = new.number
    before = None if old is None else old.false
    allowed = limits.false_alarms
    if allowed is None and before is not None:
        allowed = before / max(number, 1) + RISE
    note, passed = '', True
    if not number:
        note = 'no image here can raise one: nothing is proved'
    elif new.false is None:
        note = 'not known to the new version: nothing is proved'
    elif allowed is not None and new.false > allowed * number + ROUNDING:
        passed = False
        was = '' if before is None else f', before {before}'
        note = (
            f'are {percent(new.false / number)} ({new.false} of {number}{was}): '
            f'expected {percent(allowed)} at most ({most(allowed, number)} of {number})'
        )
    elif allowed is None:
        note = 'no limit is given, and no old version to compare with'
    elif RISE * number + ROUNDING < 1:
        note = f'one more is {percent(1 / number)}'
    return GateRow(
        exam=exam,
        product=new.product,
        kind='',
        number=number,
        images=number,
        false=(before, new.false),
        note=note,
        passed=passed,
    )
