"""From a protocol such as ``'3+3'`` to the classes that each step brings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from mmdefect.utils.checks import check_known

_PLUS = re.compile(r'\d+(\+\d+)*')
_MINUS = re.compile(r'(?P<first>\d+)-(?P<size>\d+)(x(?P<count>\d+))?')


def parse_protocol(
    protocol: str | Sequence[Sequence[str]], classes: Sequence[str]
) -> list[list[str]]:
    """Return the new classes of every step.

    Args:
        protocol: Step sizes, taken from ``classes`` in order, or class lists.
            ``'3+3'`` and ``'2+2+2'`` name each step; ``'10-1x5'`` is ten classes and
            then five steps of one; ``'14-1'`` is ``'14-1x1'``. A list of class lists is
            taken as it stands and may leave classes out.
        classes: All classes of the dataset, in its own order.

    Returns:
        One list of class names per step; step 0 first.

    Raises:
        ValueError: The protocol cannot be read, does not add up to the number of
            classes, names an unknown class, or names one twice.
        TypeError: The protocol is neither a string nor a list of class lists.

    Example:
        >>> parse_protocol('2-1x2', ['a', 'b', 'c', 'd'])
        [['a', 'b'], ['c'], ['d']]
    """
    if isinstance(protocol, str):
        return _split(_step_sizes(protocol), protocol, classes)
    return _check_class_lists(protocol, classes)


def _step_sizes(protocol: str) -> list[int]:
    text = protocol.replace(' ', '')
    if _PLUS.fullmatch(text):
        return [int(size) for size in text.split('+')]
    if match := _MINUS.fullmatch(text):
        count = int(match['count'] or 1)
        return [int(match['first'])] + [int(match['size'])] * count
    raise ValueError(
        f'protocol={protocol!r}: expected step sizes such as "3+3", "2+2+2" or '
        '"10-1x5", or a list of class lists'
    )


def _split(
    sizes: Sequence[int], protocol: str, classes: Sequence[str]
) -> list[list[str]]:
    if 0 in sizes:
        raise ValueError(f'protocol={protocol!r}: expected a class in every step')
    if sum(sizes) != len(classes):
        raise ValueError(
            f'protocol={protocol!r} does not add up: expected steps of the '
            f'{len(classes)} classes {", ".join(classes)}, not of {sum(sizes)}; change '
            'the sizes, or list the classes of each step'
        )
    names = iter(classes)
    return [list(islice(names, size)) for size in sizes]


def _check_class_lists(
    protocol: Sequence[Sequence[str]], classes: Sequence[str]
) -> list[list[str]]:
    if not isinstance(protocol, Sequence) or any(
        isinstance(step, str) or not isinstance(step, Sequence) for step in protocol
    ):
        raise TypeError(
            f'protocol={protocol!r}: expected a string such as "3+3", or class lists '
            'such as [["crazing", "patches"], ["scratches"]]'
        )
    steps = [list(step) for step in protocol]
    if not steps or not all(steps):
        raise ValueError(f'protocol={steps!r}: expected a class in every step')
    names = [name for step in steps for name in step]
    check_known(names, classes, what='protocol')
    return steps
