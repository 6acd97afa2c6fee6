"""How the images of a line look when all is well: what later days are held against."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mmdefect.line.days import Day, days_of
from mmdefect.line.histogram import LAST
from mmdefect.line.opening import open_version
from mmdefect.line.record import body_of
from mmdefect.line.row import Row, utc
from mmdefect.line.tables import DayKey, day_keys
from mmdefect.utils.checks import amount, brief, check_number, check_type
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line

FILE = 'reference.json'
FORMAT_VERSION = 1
# Images of a bin or a decision: what sums of them can still be counted exactly in.
_MOST = 10**12


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What one version says of images that show the line as it should be.

    Attributes:
        version: Such as ``'v0001'``.
        made: UTC.
        origin: Where the images came from, in words.
        products: Of each product the counts of a day; its ``day`` is empty.
    """

    version: str
    made: str
    origin: str
    products: tuple[Day, ...]

    @property
    def images(self) -> int:
        """How many it was made of."""
        return sum(one.images for one in self.products)

    def of(self, product: str | None) -> Day | None:
        """The counts of one product."""
        return next((one for one in self.products if one.product == product), None)


def of_images(
    line: Line, images: Any, *, version: str | None = None, origin: str = 'images'
) -> Reference:
    """Let a version look at images; see :func:`keep`.

    Args:
        line: That the version is of.
        images: As :class:`mmdefect.apis.inferencer.DefectInferencer` takes them: of
            the line as it should be, with as many defects as are usual.
        version: By default the one in use.
        origin: Where the images come from, in words.

    Raises:
        FileNotFoundError: There is no such version or path.
        ValueError: None of the images can be looked at.
    """
    package = line.package(version)
    inspect = open_version(package)
    found = inspect(images, keep_images=True)
    return of_predictions(found, version=package.name, origin=origin)


def of_predictions(
    predictions: Iterable[Prediction], *, version: str, origin: str
) -> Reference:
    """Count predictions that hold their images.

    Args:
        predictions: Of the version; those with an error are left out.
        version: Such as ``'v0001'``.
        origin: Where the images came from, in words.

    Raises:
        ValueError: There is none without an error.
    """
    counts: Counter[DayKey] = Counter()
    error = None
    for one in predictions:
        if one.error is None:
            counts.update(day_keys(_row(one, version)))
        else:
            error = one.error
    if not counts:
        raise ValueError(
            f'{origin}: expected images of the line that can be looked at, there is '
            f'none ({error or "no image"}); give others'
        )
    days = days_of((*key, count) for key, count in sorted(counts.items()))
    return Reference(
        version=version, made=utc(None), origin=origin, products=tuple(days)
    )


def _row(prediction: Prediction, version: str) -> Row:
    """As it would be written down, so that the same is counted; on no day."""
    return Row(
        id=0,
        time='',
        kind='decision',
        version=version,
        product=prediction.product,
        decision=prediction.decision,
        score=prediction.score,
        body=body_of(prediction, prediction.image),
    )


def of_log(
    line: Line, first: str, last: str, *, version: str | None = None
) -> list[Reference]:
    """Take days of the log, both ends included, as what is usual.

    Args:
        line: Whose log.
        first: ``YYYY-MM-DD``.
        last: ``YYYY-MM-DD``.
        version: Only of this one.

    Returns:
        One a version that decided on these days.

    Raises:
        ValueError: There are no decisions on these days.
    """
    days = [
        one
        for one in line.log.days()
        if first <= one.day <= last and one.images and version in (None, one.version)
    ]
    if not days:
        raise ValueError(
            f'{first} to {last}: expected days with decisions, the log of '
            f'{line.folder} has none; see `mmdefect line status`'
        )
    origin = f'days {first} to {last}'
    return [
        Reference(
            version=name,
            made=utc(None),
            origin=origin,
            products=tuple(added(d for d in days if d.version == name)),
        )
        for name in dict.fromkeys(one.version for one in days)
        if name is not None
    ]


def added(days: Iterable[Day]) -> list[Day]:
    """Days of one version, added up by product."""
    groups: defaultdict[str | None, list[Day]] = defaultdict(list)
    for one in days:
        groups[one.product].append(one)
    return [
        _counts(
            some[0].version,
            product,
            total(one.decisions for one in some),
            {
                name: total(one.histograms.get(name, {}) for one in some)
                for name in {name for one in some for name in one.histograms}
            },
        )
        for product, some in groups.items()
    ]


def total(counts: Iterable[Mapping[Any, int]]) -> Counter[Any]:
    """The sum of several counts."""
    found: Counter[Any] = Counter()
    for one in counts:
        found.update(one)
    return found


def keep(line: Line, references: Iterable[Reference], *, force: bool = False) -> None:
    """Write references into the line, in place of those of the same versions.

    The log gets a note of each. Hold the line's lock.

    Args:
        line: That gets them.
        references: One a version.
        force: Whether one that days can be held against may give way to one that is too
            small for it.

    Raises:
        OSError: They cannot be written.
        ValueError: One is too small to take the place of the one that is there.
    """
    references, known = [*references], read(line)
    for one in references:
        if not force and one.version in known:
            _check_large(known[one.version], one, line.settings.drift.least)
    known |= {one.version: one for one in references}
    content = {
        'format_version': FORMAT_VERSION,
        'references': [asdict(known[version]) for version in sorted(known)],
    }
    write_json(line.folder / FILE, content, lasting=True)
    for one in references:
        body = {'what': 'reference', 'origin': one.origin, 'images': one.images}
        line.log.append('note', version=one.version, body=body)


def _check_large(old: Reference, new: Reference, least: int) -> None:
    """Refuse a reference by which less would be watched than before.

    Raises:
        ValueError: Of the images, or of a product, there were enough and are no more.
    """
    for before in old.products:
        now = new.of(before.product)
        number = 0 if now is None else now.images
        if number < least <= before.images:
            of = f' of {before.product}' if before.product else ''
            raise ValueError(
                f'{amount(number, "image")}{of} ({new.origin}) would take the place of '
                f'the {before.images} that {new.version} is watched by: expected '
                f'{least} or more, or its drift is not decided any more; give more, or '
                'insist with --force'
            )


def read(line: Line) -> dict[str, Reference]:
    """References of a line by version; none if none was made.

    Raises:
        ValueError: The file is damaged, or of a newer version.
    """
    path = line.folder / FILE
    if not path.exists():
        return {}
    content = read_json(path, "reference of a line's images")
    version = content.get('format_version')
    if version != FORMAT_VERSION:
        raise ValueError(
            f'{path} has format_version={brief(version)}: expected {FORMAT_VERSION}; '
            'update mmdefect, or remove it and make it again with `mmdefect line '
            'reference`'
        )
    try:
        found = [_reference(one) for one in content['references']]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} is not as it was written ({error}): expected references; remove '
            'it, and make them again with `mmdefect line reference`'
        ) from None
    return {one.version: one for one in found}


def _reference(content: Mapping[str, Any]) -> Reference:
    products = [
        _counts(
            content['version'],
            one['product'],
            {name: _number(number) for name, number in one['decisions'].items()},
            {
                name: {_bin(place): _number(number) for place, number in bins.items()}
                for name, bins in one['histograms'].items()
            },
        )
        for one in content['products']
    ]
    for one in products:
        check_type('product', one.product, str | None, expected='text')
    for name in ('version', 'made', 'origin'):
        check_type(name, content[name], str, expected='text')
    return Reference(
        version=content['version'],
        made=content['made'],
        origin=content['origin'],
        products=tuple(products),
    )


def _number(count: Any) -> int:
    check_number('images', count, 0, _MOST, whole=True)
    return int(count)


def _bin(place: str) -> int:
    check_number('bin', int(place), -LAST, LAST, whole=True)
    return int(place)


def _counts(
    version: str | None,
    product: str | None,
    decisions: Mapping[str, int],
    histograms: Mapping[str, Mapping[int, int]],
) -> Day:
    """In plain dicts, which can be written."""
    return Day(
        day='',
        version=version,
        product=product,
        decisions=dict(decisions),
        histograms={name: dict(bins) for name, bins in histograms.items()},
    )
